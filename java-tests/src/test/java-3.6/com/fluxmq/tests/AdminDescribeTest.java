package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** DescribeConfigs, DescribeCluster, DescribeLogDirs and ListOffsets through the admin client. */
class AdminDescribeTest extends BrokerTest {

    private static ConfigResource topicResource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private static Config configs(ConfigResource resource, boolean synonyms, boolean documentation) throws Exception {
        return admin().describeConfigs(List.of(resource), new DescribeConfigsOptions().includeSynonyms(synonyms)
                .includeDocumentation(documentation)).all().get().get(resource);
    }

    private static ConfigResource broker() throws Exception {
        int id = admin().describeCluster().nodes().get().iterator().next().id();
        return new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(id));
    }

    @Test
    void aTopicsConfigsTellWhereTheyComeFrom() throws Exception {
        String topic = topic(1, "retention.ms", "86400000", "compression.type", "zstd");
        Config config = configs(topicResource(topic), true, true);
        ConfigEntry retention = config.get("retention.ms");
        assertEquals("86400000", retention.value());
        assertEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.source());
        assertEquals(ConfigEntry.ConfigType.LONG, retention.type());
        assertFalse(retention.isDefault());
        assertFalse(retention.isReadOnly());
        assertFalse(retention.isSensitive());
        assertFalse(retention.documentation().isBlank());
        ConfigEntry.ConfigSynonym own = retention.synonyms().get(0);
        assertEquals("retention.ms", own.name());
        assertEquals("86400000", own.value());
        assertEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, own.source());

        ConfigEntry codec = config.get("compression.type");
        assertEquals("zstd", codec.value());
        assertEquals(ConfigEntry.ConfigType.STRING, codec.type());
        assertEquals(List.of("compression.type", "compression.type"),
                codec.synonyms().stream().map(ConfigEntry.ConfigSynonym::name).toList());
        assertEquals(List.of("zstd", "producer"), codec.synonyms().stream().map(ConfigEntry.ConfigSynonym::value).toList());
        assertEquals(List.of(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigEntry.ConfigSource.DEFAULT_CONFIG),
                codec.synonyms().stream().map(ConfigEntry.ConfigSynonym::source).toList());

        ConfigEntry policy = config.get("cleanup.policy");
        assertEquals("delete", policy.value());
        assertEquals(ConfigEntry.ConfigType.LIST, policy.type());
        assertTrue(policy.isDefault());
        assertEquals(List.of("log.cleanup.policy"), policy.synonyms().stream().map(ConfigEntry.ConfigSynonym::name).toList());
    }

    @Test
    void everyTopicConfigOfKafkaIsThere() throws Exception {
        Config config = configs(topicResource(topic(1)), false, false);
        Map<String, String> expected = Map.ofEntries(
                Map.entry("cleanup.policy", "delete"), Map.entry("compression.gzip.level", "-1"),
                Map.entry("compression.lz4.level", "9"), Map.entry("compression.type", "producer"),
                Map.entry("compression.zstd.level", "3"), Map.entry("delete.retention.ms", "86400000"),
                Map.entry("file.delete.delay.ms", "60000"), Map.entry("flush.messages", "9223372036854775807"),
                Map.entry("flush.ms", "9223372036854775807"), Map.entry("index.interval.bytes", "4096"),
                Map.entry("max.compaction.lag.ms", "9223372036854775807"), Map.entry("max.message.bytes", "1048588"),
                Map.entry("message.timestamp.after.max.ms", "3600000"),
                Map.entry("message.timestamp.before.max.ms", "9223372036854775807"),
                Map.entry("message.timestamp.type", "CreateTime"), Map.entry("min.cleanable.dirty.ratio", "0.5"),
                Map.entry("min.compaction.lag.ms", "0"), Map.entry("min.insync.replicas", "1"),
                Map.entry("preallocate", "false"), Map.entry("remote.storage.enable", "false"),
                Map.entry("retention.bytes", "-1"), Map.entry("retention.ms", "604800000"),
                Map.entry("segment.index.bytes", "10485760"), Map.entry("segment.jitter.ms", "0"),
                Map.entry("segment.ms", "604800000"), Map.entry("unclean.leader.election.enable", "false"));
        expected.forEach((key, value) -> {
            assertNotNull(config.get(key), key + " is not described");
            assertEquals(value, config.get(key).value(), key);
        });
        assertNotNull(config.get("segment.bytes"));
        assertNull(config.get("segment.bytes").documentation(), "documentation comes only when asked for");
        assertTrue(config.get("segment.bytes").synonyms().isEmpty(), "synonyms come only when asked for");
    }

    @Test
    void aBrokersConfigsAreDescribed() throws Exception {
        Config config = configs(broker(), true, true);
        ConfigEntry id = config.get("node.id");
        assertTrue(id.isReadOnly());
        assertEquals(ConfigEntry.ConfigType.INT, id.type());
        assertEquals(broker().name(), id.value());
        ConfigEntry create = config.get("auto.create.topics.enable");
        assertEquals("true", create.value());
        assertEquals(ConfigEntry.ConfigType.BOOLEAN, create.type());
        assertFalse(create.documentation().isBlank());
        ConfigEntry limit = config.get("message.max.bytes");
        assertEquals("1048588", limit.value());
        assertFalse(limit.isReadOnly());
        assertEquals(ConfigEntry.ConfigSource.DEFAULT_CONFIG, limit.source());
        for (ConfigEntry entry : config.entries()) {
            assertNotNull(entry.source(), entry.name());
            assertFalse(entry.isSensitive() && entry.value() != null, entry.name() + " shows a secret");
        }
    }

    @Test
    void configsOfAnUnknownTopicAreAnError() throws Exception {
        failure(UnknownTopicOrPartitionException.class, admin().describeConfigs(List.of(topicResource(name()))).all());
        failure(InvalidTopicException.class, admin().describeConfigs(List.of(topicResource("in valid"))).all());
        String topic = topic(1);
        ConfigResource unknown = topicResource(name());
        Map<ConfigResource, ? extends Future<Config>> values =
                admin().describeConfigs(List.of(topicResource(topic), unknown)).values();
        assertNotNull(values.get(topicResource(topic)).get());
        failure(UnknownTopicOrPartitionException.class, values.get(unknown));
    }

    @Test
    void theClusterIsOneNode() throws Exception {
        DescribeClusterResult cluster = admin().describeCluster();
        Collection<Node> nodes = cluster.nodes().get();
        assertEquals(1, nodes.size());
        Node node = nodes.iterator().next();
        assertEquals(node.id(), cluster.controller().get().id());
        assertFalse(node.isEmpty());
        assertTrue(BOOTSTRAP.endsWith(":" + node.port()), node + " is at " + BOOTSTRAP);
        assertEquals(22, cluster.clusterId().get().length(), "a base64 UUID: " + cluster.clusterId().get());
        assertNull(cluster.authorizedOperations().get());
        assertEquals(cluster.clusterId().get(), admin().describeCluster().clusterId().get());
        admin().describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true)).authorizedOperations().get();
    }

    @Test
    void logDirsTellSizes() throws Exception {
        String topic = topic(2);
        KafkaProducer<byte[], byte[]> producer = producer();
        for (int i = 0; i < 10; i++) {
            send(producer, topic, noise(i, 10_000));
        }
        int node = Integer.parseInt(broker().name());
        Map<String, LogDirDescription> dirs = admin().describeLogDirs(List.of(node)).allDescriptions().get().get(node);
        assertEquals(1, dirs.size());
        Map.Entry<String, LogDirDescription> dir = dirs.entrySet().iterator().next();
        assertTrue(dir.getKey().startsWith("/"), dir.getKey());
        assertNull(dir.getValue().error());
        long full = dir.getValue().replicaInfos().get(new TopicPartition(topic, 0)).size();
        assertTrue(full >= 100_000 && full < 110_000, "size " + full);
        assertEquals(0, dir.getValue().replicaInfos().get(new TopicPartition(topic, 1)).size());
        assertEquals(0, dir.getValue().replicaInfos().get(new TopicPartition(topic, 0)).offsetLag());
        assertFalse(dir.getValue().replicaInfos().get(new TopicPartition(topic, 0)).isFuture());
        assertTrue(dir.getValue().totalBytes().getAsLong() > dir.getValue().usableBytes().getAsLong());
        assertTrue(dir.getValue().usableBytes().getAsLong() > 0);
    }

    /** The topic's codec is what lies on the disk. */
    @Test
    void aConvertedTopicTakesLessSpace() throws Exception {
        String topic = topic(1, "compression.type", "zstd");
        send(producer("compression.type", "none"), topic, new byte[500_000]);
        int node = Integer.parseInt(broker().name());
        long size = admin().describeLogDirs(List.of(node)).allDescriptions().get().get(node).values().iterator().next()
                .replicaInfos().get(new TopicPartition(topic, 0)).size();
        assertTrue(size < 5_000, "size " + size);
    }

    private static ListOffsetsResultInfo offset(TopicPartition partition, OffsetSpec spec, IsolationLevel isolation)
            throws Exception {
        return admin().listOffsets(Map.of(partition, spec), new ListOffsetsOptions(isolation)).partitionResult(partition).get();
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "lz4"})
    void offsetsOfEverySpec(String codec) throws Exception {
        String topic = topic(2, KEEP);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "50", "compression.type", codec);
        long base = 1_600_000_000_000L;
        // The largest timestamp, base + 90, is at offset 0.
        sendAt(producer, topic, LongStream.range(0, 10).map(i -> base + (i * 7 + 9) % 10 * 10).toArray());
        for (IsolationLevel isolation : IsolationLevel.values()) {
            assertEquals(0, offset(partition, OffsetSpec.earliest(), isolation).offset());
            ListOffsetsResultInfo latest = offset(partition, OffsetSpec.latest(), isolation);
            assertEquals(10, latest.offset());
            assertEquals(-1, latest.timestamp());
            ListOffsetsResultInfo first = offset(partition, OffsetSpec.forTimestamp(base), isolation);
            assertEquals(0, first.offset());
            assertEquals(base + 90, first.timestamp());
            ListOffsetsResultInfo beyond = offset(partition, OffsetSpec.forTimestamp(base + 91), isolation);
            assertEquals(-1, beyond.offset());
            assertEquals(-1, beyond.timestamp());
        }
        ListOffsetsResultInfo largest = offset(partition, OffsetSpec.maxTimestamp(), IsolationLevel.READ_UNCOMMITTED);
        assertEquals(0, largest.offset());
        assertEquals(base + 90, largest.timestamp());
        TopicPartition empty = new TopicPartition(topic, 1);
        assertEquals(-1, offset(empty, OffsetSpec.maxTimestamp(), IsolationLevel.READ_UNCOMMITTED).offset());
        assertEquals(0, offset(empty, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED).offset());
        assertEquals(0, offset(empty, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED).offset());
    }

    @Test
    void theLargestTimestampInTheMiddle() throws Exception {
        String topic = topic(1, KEEP);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "50", "compression.type", "lz4");
        sendAt(producer, topic, 10, 20, 90, 30, 90, 40);
        ListOffsetsResultInfo largest = offset(partition, OffsetSpec.maxTimestamp(), IsolationLevel.READ_UNCOMMITTED);
        assertEquals(2, largest.offset());
        assertEquals(90, largest.timestamp());
    }

    @Test
    void topicsAreListed() throws Exception {
        Set<String> topics = Set.of(topic(1), topic(2), topic(3));
        Set<String> listed = admin().listTopics().listings().get().stream().map(l -> l.name()).collect(Collectors.toSet());
        assertTrue(listed.containsAll(topics));
    }
}
