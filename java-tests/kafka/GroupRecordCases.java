import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.server.common.ApiMessageAndVersion;

/**
 * Prints the records of __consumer_offsets as Kafka's own classes write them, in every version that they have, and the
 * consumer protocol's messages: the cases of protocol/tests/fixtures/group_records.txt.
 *
 * <pre>java -cp "$(scripts/kafka.sh libs)/*" java-tests/kafka/GroupRecordCases.java</pre>
 *
 * A line is the type, the version of the value ("-" for a tombstone), what is in it, and the bytes of key and value in
 * hexadecimal ("-" for none).
 */
public class GroupRecordCases {
    private static final GroupCoordinatorRecordSerde SERDE = new GroupCoordinatorRecordSerde();
    private static final Uuid TOPIC_ID = new Uuid(0x0102030405060708L, 0x090a0b0c0d0e0f10L);
    private static final Uuid OTHER_ID = new Uuid(-1, 1);

    public static void main(String[] args) {
        offsets();
        classicGroups();
        consumerGroups();
        consumerProtocol();
    }

    private static void offsets() {
        OffsetCommitKey key = new OffsetCommitKey().setGroup("group").setTopic("topic").setPartition(7);
        OffsetCommitValue all = new OffsetCommitValue().setOffset(1L << 40).setLeaderEpoch(5).setMetadata("méta")
            .setCommitTimestamp(1_700_000_000_000L).setExpireTimestamp(1_700_000_100_000L).setTopicId(TOPIC_ID);
        cases("OffsetCommit", key, all, new OffsetCommitValue(), 4);
        LegacyOffsetCommitKey legacyKey = new LegacyOffsetCommitKey().setGroup("group").setTopic("topic").setPartition(7);
        LegacyOffsetCommitValue legacy = new LegacyOffsetCommitValue().setOffset(1L << 40).setMetadata("méta")
            .setCommitTimestamp(1_700_000_000_000L);
        cases("LegacyOffsetCommit", legacyKey, legacy, new LegacyOffsetCommitValue(), 0);
        all.setExpireTimestamp(-1).unknownTaggedFields().add(new RawTaggedField(9, new byte[] {1, 2, 3}));
        print("OffsetCommit", key, all, 4, "unknown-tag");
    }

    private static void classicGroups() {
        GroupMetadataKey key = new GroupMetadataKey().setGroup("group");
        GroupMetadataValue all = new GroupMetadataValue().setProtocolType("consumer").setGeneration(3).setProtocol("range")
            .setLeader("member-1").setCurrentStateTimestamp(1_700_000_000_000L).setMembers(List.of(
                new GroupMetadataValue.MemberMetadata().setMemberId("member-1").setGroupInstanceId("instance-1")
                    .setClientId("client").setClientHost("/127.0.0.1").setRebalanceTimeout(300_000).setSessionTimeout(45_000)
                    .setSubscription(new byte[] {0, 1, 2}).setAssignment(new byte[] {3, 4}),
                new GroupMetadataValue.MemberMetadata().setMemberId("member-2").setGroupInstanceId(null)
                    .setClientId("").setClientHost("/::1").setRebalanceTimeout(1).setSessionTimeout(2)
                    .setSubscription(new byte[300]).setAssignment(new byte[0])));
        GroupMetadataValue none = new GroupMetadataValue().setProtocol(null).setLeader(null);
        cases("GroupMetadata", key, all, none, 4);
    }

    private static void consumerGroups() {
        cases("ConsumerGroupMetadata", new ConsumerGroupMetadataKey().setGroupId("group"),
            new ConsumerGroupMetadataValue().setEpoch(11).setMetadataHash(-2L), new ConsumerGroupMetadataValue(), 0);

        cases("ConsumerGroupPartitionMetadata", new ConsumerGroupPartitionMetadataKey().setGroupId("group"),
            new ConsumerGroupPartitionMetadataValue().setTopics(List.of(
                new ConsumerGroupPartitionMetadataValue.TopicMetadata().setTopicId(TOPIC_ID).setTopicName("topic")
                    .setNumPartitions(2).setPartitionMetadata(List.of(
                        new ConsumerGroupPartitionMetadataValue.PartitionMetadata().setPartition(0).setRacks(List.of("a", "b")),
                        new ConsumerGroupPartitionMetadataValue.PartitionMetadata().setPartition(1))),
                new ConsumerGroupPartitionMetadataValue.TopicMetadata().setTopicId(OTHER_ID).setTopicName("other")
                    .setNumPartitions(1))),
            new ConsumerGroupPartitionMetadataValue(), 0);

        ConsumerGroupMemberMetadataKey memberKey = new ConsumerGroupMemberMetadataKey().setGroupId("group").setMemberId("member");
        ConsumerGroupMemberMetadataValue member = new ConsumerGroupMemberMetadataValue().setInstanceId("instance")
            .setRackId("rack").setClientId("client").setClientHost("/127.0.0.1").setSubscribedTopicNames(List.of("a", "b"))
            .setSubscribedTopicRegex("a.*").setRebalanceTimeoutMs(300_000).setServerAssignor("uniform")
            .setClassicMemberMetadata(new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata().setSessionTimeoutMs(45_000)
                .setSupportedProtocols(List.of(
                    new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("range").setMetadata(new byte[] {0, 1}),
                    new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("sticky").setMetadata(new byte[200]))));
        ConsumerGroupMemberMetadataValue modern = new ConsumerGroupMemberMetadataValue().setInstanceId(null).setRackId(null)
            .setSubscribedTopicRegex(null).setServerAssignor(null).setClassicMemberMetadata(null);
        cases("ConsumerGroupMemberMetadata", memberKey, member, modern, 0);
        print("ConsumerGroupMemberMetadata", memberKey, modern.duplicate().setClassicMemberMetadata(
            new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata()), 0, "empty-classic");

        cases("ConsumerGroupTargetAssignmentMetadata", new ConsumerGroupTargetAssignmentMetadataKey().setGroupId("group"),
            new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(12).setAssignmentTimestamp(1_700_000_000_000L),
            new ConsumerGroupTargetAssignmentMetadataValue(), 0);

        cases("ConsumerGroupTargetAssignmentMember",
            new ConsumerGroupTargetAssignmentMemberKey().setGroupId("group").setMemberId("member"),
            new ConsumerGroupTargetAssignmentMemberValue().setTopicPartitions(List.of(
                new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(TOPIC_ID).setPartitions(List.of(0, 3)),
                new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(OTHER_ID))),
            new ConsumerGroupTargetAssignmentMemberValue(), 0);

        ConsumerGroupCurrentMemberAssignmentKey currentKey =
            new ConsumerGroupCurrentMemberAssignmentKey().setGroupId("group").setMemberId("member");
        ConsumerGroupCurrentMemberAssignmentValue current = new ConsumerGroupCurrentMemberAssignmentValue().setMemberEpoch(13)
            .setPreviousMemberEpoch(12).setState((byte) 1)
            .setAssignedPartitions(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(TOPIC_ID)
                .setPartitions(List.of(0, 1)).setAssignmentEpochs(List.of(11, 13))))
            .setPartitionsPendingRevocation(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions()
                .setTopicId(OTHER_ID).setPartitions(List.of(5))));
        cases("ConsumerGroupCurrentMemberAssignment", currentKey, current, new ConsumerGroupCurrentMemberAssignmentValue(), 0);
        ConsumerGroupCurrentMemberAssignmentValue noEpochs = new ConsumerGroupCurrentMemberAssignmentValue()
            .setAssignedPartitions(List.of(new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(TOPIC_ID)
                .setPartitions(List.of(0)).setAssignmentEpochs(null)));
        print("ConsumerGroupCurrentMemberAssignment", currentKey, noEpochs, 0, "null-epochs");

        cases("ConsumerGroupRegularExpression",
            new ConsumerGroupRegularExpressionKey().setGroupId("group").setRegularExpression("a.*"),
            new ConsumerGroupRegularExpressionValue().setTopics(List.of("a", "ab")).setVersion(99).setTimestamp(1_700_000_000_000L),
            new ConsumerGroupRegularExpressionValue(), 0);

        // Groups of other kinds: passed over.
        print("ShareGroupMetadata", new ShareGroupMetadataKey().setGroupId("group"), new ShareGroupMetadataValue().setEpoch(1), 0, "all");
        print("StreamsGroupMetadata", new StreamsGroupMetadataKey().setGroupId("group"), new StreamsGroupMetadataValue().setEpoch(1), 0, "all");
    }

    private static void consumerProtocol() {
        Subscription subscription = new Subscription(List.of("a", "b"), ByteBuffer.wrap(new byte[] {1, 2}),
            List.of(new TopicPartition("a", 0), new TopicPartition("a", 2), new TopicPartition("b", 1)), 4, Optional.of("rack"));
        Assignment assignment = new Assignment(
            List.of(new TopicPartition("a", 0), new TopicPartition("a", 2), new TopicPartition("b", 1)), ByteBuffer.wrap(new byte[] {3}));
        for (short version = 0; version <= 3; version++) {
            line("Subscription", version, "all", null, bytes(ConsumerProtocol.serializeSubscription(subscription, version)));
            line("Assignment", version, "all", null, bytes(ConsumerProtocol.serializeAssignment(assignment, version)));
        }
    }

    private static void cases(String type, ApiMessage key, ApiMessage all, ApiMessage none, int lastVersion) {
        for (int version = 0; version <= lastVersion; version++) {
            print(type, key, all, version, "all");
            print(type, key, none, version, "none");
        }
        CoordinatorRecord tombstone = CoordinatorRecord.tombstone(key);
        line(type, null, "tombstone", SERDE.serializeKey(tombstone), SERDE.serializeValue(tombstone));
    }

    private static void print(String type, ApiMessage key, ApiMessage value, int version, String content) {
        CoordinatorRecord record = CoordinatorRecord.record(key, new ApiMessageAndVersion(value, (short) version));
        byte[] keyBytes = SERDE.serializeKey(record);
        byte[] valueBytes = SERDE.serializeValue(record);
        SERDE.deserialize(ByteBuffer.wrap(keyBytes), ByteBuffer.wrap(valueBytes));
        line(type, (short) version, content, keyBytes, valueBytes);
    }

    private static void line(String type, Short version, String content, byte[] key, byte[] value) {
        System.out.println(String.join(" ", type, version == null ? "-" : version.toString(), content, hex(key), hex(value)));
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }
}
