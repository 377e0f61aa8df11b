import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.coordinator.transaction.TransactionLog;
import org.apache.kafka.coordinator.transaction.TransactionState;
import org.apache.kafka.coordinator.transaction.TxnTransitMetadata;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogValue;
import org.apache.kafka.server.common.TransactionVersion;

/**
 * Prints the records of __transaction_state as Kafka's own classes write them, in both versions: the cases of
 * protocol/tests/fixtures/transaction_records.txt.
 *
 * <pre>java -cp "$(scripts/kafka.sh libs)/*" java-tests/kafka/TransactionRecordCases.java</pre>
 *
 * A line is what is in the record, the version of the value ("-" for a tombstone), and the bytes of key and value in
 * hexadecimal ("-" for none). In a value there is one topic, since Kafka orders them as it happens.
 */
public class TransactionRecordCases {
    private static final byte[] KEY = TransactionLog.keyToBytes("tränsactional");

    public static void main(String[] args) {
        line("tombstone", "-", null);
        for (TransactionVersion cluster : List.of(TransactionVersion.TV_0, TransactionVersion.TV_2)) {
            for (TransactionState state : TransactionState.values()) {
                if (state.id() <= TransactionState.COMPLETE_ABORT.id()) {
                    written(state, cluster, cluster);
                }
            }
        }
        written(TransactionState.ONGOING, TransactionVersion.TV_1, TransactionVersion.TV_0);
        TransactionLogValue all = new TransactionLogValue().setProducerId(Long.MAX_VALUE).setPreviousProducerId(11)
            .setNextProducerId(12).setProducerEpoch(Short.MAX_VALUE).setNextProducerEpoch((short) 13)
            .setTransactionTimeoutMs(Integer.MAX_VALUE).setTransactionStatus((byte) 2)
            .setTransactionPartitions(List.of(
                new TransactionLogValue.PartitionsSchema().setTopic("a").setPartitionIds(List.of(0, 2)),
                new TransactionLogValue.PartitionsSchema().setTopic("b").setPartitionIds(List.of())))
            .setTransactionLastUpdateTimestampMs(1_700_000_000_000L).setTransactionStartTimestampMs(-1)
            .setClientTransactionVersion((short) 2);
        value("all", all);
        value("none", new TransactionLogValue());
        all.unknownTaggedFields().add(new RawTaggedField(9, new byte[] {1, 2, 3}));
        value("unknown-tag", all);
    }

    /** As the coordinator writes it. */
    private static void written(TransactionState state, TransactionVersion cluster, TransactionVersion client) {
        boolean open = state == TransactionState.ONGOING || state == TransactionState.PREPARE_COMMIT
            || state == TransactionState.PREPARE_ABORT;
        Set<TopicPartition> partitions = open ? Set.of(new TopicPartition("topic", 7)) : Set.of();
        TxnTransitMetadata metadata = new TxnTransitMetadata(17, 11, -1, (short) 3, (short) 2, 60_000, state,
            new HashSet<>(partitions), 1_700_000_000_000L, 1_700_000_001_000L, client);
        byte[] value = TransactionLog.valueToBytes(metadata, cluster);
        TransactionLog.read(ByteBuffer.wrap(KEY), ByteBuffer.wrap(value));
        String content = state.stateName() + "-client-" + client.featureLevel();
        line(content, Short.toString(cluster.transactionLogValueVersion()), value);
    }

    private static void value(String content, TransactionLogValue value) {
        line(content, "1", MessageUtil.toVersionPrefixedBytes((short) 1, value));
    }

    private static void line(String content, String version, byte[] value) {
        String hex = value == null ? "-" : HexFormat.of().formatHex(value);
        System.out.println(String.join(" ", content, version, HexFormat.of().formatHex(KEY), hex));
    }
}
