"""What Apache Kafka needs to run here: its jars (`pom.xml`) and its settings (`server.properties`)."""
