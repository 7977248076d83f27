import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/** The map of benches/events in Kafka Streams: KAFKA IN OUT COMMIT_MS SCHEMA STATE_DIR. */
public class Map {
    private static final int HEADER = 5;
    private static Schema schema;
    private static final ThreadLocal<Codec> CODEC = ThreadLocal.withInitial(Codec::new);

    private static final class Codec {
        final GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
        final GenericDatumWriter<GenericRecord> writer = new GenericDatumWriter<>(schema);
        GenericRecord record;
        BinaryDecoder decoder;
        BinaryEncoder encoder;

        byte[] map(byte[] bytes) {
            try {
                decoder = DecoderFactory.get()
                        .binaryDecoder(bytes, HEADER, bytes.length - HEADER, decoder);
                record = reader.read(record, decoder);
                record.put("labels", (Integer) record.get("labels") + 1);
                ByteArrayOutputStream out = new ByteArrayOutputStream(bytes.length + 8);
                out.write(bytes, 0, HEADER);
                encoder = EncoderFactory.get().directBinaryEncoder(out, encoder);
                writer.write(record, encoder);
                return out.toByteArray();
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        schema = new Schema.Parser().parse(Files.readString(Path.of(args[4])));
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[3]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[5]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put("auto.offset.reset", "earliest");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(args[1], Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .mapValues(value -> CODEC.get().map(value))
                .to(args[2], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.start();
        // Until whoever runs us closes our standard input.
        while (System.in.read() >= 0) { }
        streams.close();
    }
}
