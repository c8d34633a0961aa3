package flashmm.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.WindowBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: a tumbling window of one second in memory, one thread, no changelog. The topic is keyed already, so
 * nothing is repartitioned.
 *
 * <p>Arguments: bootstrap servers, topic, schema file, trades in the topic, state folder.
 */
public final class Ohlc {
  private static final long SECOND_MS = 1_000;
  private static final long WARM_NANOS = 2_000_000_000L;

  /** A trade, as little of it as the job needs; null for every other kind of tick. */
  private record Trade(long tsEventMs, long price, long size) {}

  /** Open, high, low, close, volume. */
  private record Bar(long open, long high, long low, long close, long volume) {
    Bar add(Trade trade) {
      if (open == 0) {
        return new Bar(trade.price, trade.price, trade.price, trade.price, trade.size);
      }
      return new Bar(
          open, Math.max(high, trade.price), Math.min(low, trade.price), trade.price, volume + trade.size);
    }

    byte[] bytes() {
      return ByteBuffer.allocate(40).putLong(open).putLong(high).putLong(low).putLong(close).putLong(volume).array();
    }

    static Bar of(byte[] raw) {
      ByteBuffer buffer = ByteBuffer.wrap(raw);
      return new Bar(buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.getLong());
    }
  }

  private static volatile long startNanos;
  private static long startCpuNanos;
  private static long done;
  private static long warmNanos;
  private static long warmDone;

  private Ohlc() {}

  public static void main(String[] arguments) throws IOException {
    String bootstrap = arguments[0];
    String topic = arguments[1];
    Schema schema = new Schema.Parser().parse(Path.of(arguments[2]).toFile());
    long trades = Long.parseLong(arguments[3]);

    StreamsBuilder builder = new StreamsBuilder();
    WindowBytesStoreSupplier store =
        Stores.inMemoryWindowStore("bars", Duration.ofSeconds(60), Duration.ofMillis(SECOND_MS), false);
    TimestampExtractor eventTime = (ConsumerRecord<Object, Object> record, long previous) ->
        record.value() instanceof Trade trade ? trade.tsEventMs() : record.timestamp();
    Deserializer<Trade> decode = decoder(schema);
    Serde<Trade> ticks = Serdes.serdeFrom((name, trade) -> { throw new UnsupportedOperationException(); }, decode);
    Serde<Bar> bars = Serdes.serdeFrom((name, bar) -> bar == null ? null : bar.bytes(), (name, raw) -> raw == null ? null : Bar.of(raw));
    builder.stream(topic, Consumed.with(Serdes.Bytes(), ticks).withTimestampExtractor(eventTime))
        .filter((Bytes key, Trade trade) -> trade.price() > 0)
        .groupByKey(Grouped.with(Serdes.Bytes(), ticks))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(SECOND_MS), Duration.ofSeconds(5)))
        .aggregate(
            () -> new Bar(0, 0, 0, 0, 0),
            (key, trade, bar) -> {
              Bar next = bar.add(trade);
              count(trades);
              return next;
            },
            Materialized.<Bytes, Bar>as(store).withKeySerde(Serdes.Bytes()).withValueSerde(bars).withLoggingDisabled());

    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-kafka-streams-" + System.nanoTime());
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    new KafkaStreams(builder.build(), settings).start();
  }

  /** Make the decoder: generic Avro, as a registry's deserializer without generated classes uses it. */
  private static Deserializer<Trade> decoder(Schema schema) {
    GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
    int price = schema.getField("price").pos();
    int size = schema.getField("size").pos();
    int kind = schema.getField("kind").pos();
    int tsEvent = schema.getField("ts_event").pos();
    return new Deserializer<>() {
      private BinaryDecoder decoder;
      private GenericRecord tick;

      @Override
      public Trade deserialize(String topic, byte[] value) {
        if (startNanos == 0) {
          startCpuNanos = cpuNanos();
          startNanos = System.nanoTime();
        }
        try {
          decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoder);
          tick = reader.read(tick, decoder);
        } catch (IOException error) {
          throw new UncheckedIOException(error);
        }
        if (!"TRADE".equals(tick.get(kind).toString())) {
          return new Trade(0, 0, 0);
        }
        return new Trade((Long) tick.get(tsEvent) / 1_000, number(tick.get(price)), number(tick.get(size)));
      }
    };
  }

  private static long number(Object bytes) {
    ByteBuffer raw = (ByteBuffer) bytes;
    byte[] big = new byte[raw.remaining()];
    raw.duplicate().get(big);
    return new BigInteger(big).longValue();
  }

  private static void count(long trades) {
    if (++done % 1_000 == 0 && warmNanos == 0 && System.nanoTime() - startNanos > WARM_NANOS) {
      warmNanos = System.nanoTime();
      warmDone = done;
    }
    if (done == trades) {
      long end = System.nanoTime();
      double seconds = (end - startNanos) / 1e9;
      double cpu = (cpuNanos() - startCpuNanos) / 1e9;
      String warm = warmNanos == 0 ? "null" : Long.toString((done - warmDone) * 1_000_000_000 / (end - warmNanos));
      System.out.printf(
          Locale.ROOT,
          "{\"ticks\": %d, \"seconds\": %.6f, \"cpu_s\": %.6f, \"warm_rate\": %s}%n",
          done, seconds, cpu, warm);
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }
  }

  private static long cpuNanos() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }
}
