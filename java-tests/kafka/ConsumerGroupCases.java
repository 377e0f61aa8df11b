import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.Provider;
import java.security.SecureRandomSpi;
import java.security.Security;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.message.ConsumerGroupDescribeResponseData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatResponseData;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.LeaveGroupRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.SyncGroupResponseData;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.coordinator.common.runtime.CoordinatorExecutor;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataDelta;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorResult;
import org.apache.kafka.coordinator.common.runtime.CoordinatorTimer;
import org.apache.kafka.coordinator.group.GroupConfigManager;
import org.apache.kafka.coordinator.group.GroupCoordinatorConfig;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.GroupCoordinatorShard;
import org.apache.kafka.coordinator.group.metrics.GroupCoordinatorMetrics;
import org.apache.kafka.coordinator.group.modern.share.ShareGroupConfig;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.timeline.SnapshotRegistry;

/**
 * Prints what Kafka's own group coordinator does with random members of consumer groups (KIP-848): the cases of
 * core/coordinator/tests/data/consumer_groups.txt. With a number, that many groups.
 *
 * <pre>java -cp "$(scripts/kafka.sh libs)/*" java-tests/kafka/ConsumerGroupCases.java</pre>
 *
 * A group begins with "group ASSIGNMENT_INTERVAL_MS". Then comes what happens:
 *
 * <pre>
 * topic NAME ID PARTITIONS          it is there now, or has so many partitions now
 * gone NAME
 * pass MS
 * beat MEMBER EPOCH INSTANCE REBALANCE_MS NAMES ASSIGNOR OWNED
 * join MEMBER INSTANCE SUBSCRIPTION FRESH_ID       of the classic protocol, as the next three
 * sync MEMBER INSTANCE GENERATION
 * heart MEMBER INSTANCE GENERATION
 * leave MEMBER INSTANCE
 * commit MEMBER EPOCH TOPIC PARTITION
 * delete
 * </pre>
 *
 * and what it led to: "answer CODE MEMBER_EPOCH ASSIGNMENT MESSAGE", "joined CODE MEMBER GENERATION PROTOCOL", "synced
 * CODE ASSIGNMENT", "code CODE", "record KEY VALUE" for each record in hexadecimal, "state STATE GROUP_EPOCH
 * ASSIGNMENT_EPOCH". Nothing is a dash; topics and partitions are ID:1,2;ID:0. The assignor is range, which doesn't
 * depend on the order of hash maps. Every third group has members that speak the classic protocol; it doesn't become a
 * classic group, whose members Kafka has in the order of hash maps.
 */
public class ConsumerGroupCases {
    private static final String GROUP = "group";
    private static final String[] TOPICS = {"foo", "bar", "baz"};
    private static final int MEMBERS = 4;
    private static final int STATIC_MEMBERS = 2;

    /** Kafka makes member ids of random bytes; of these, so that every run prints the same. */
    public static class SeededRandoms extends Provider {
        SeededRandoms() {
            super("SeededRandoms", "1", "random bytes that are the same in every run");
            put("SecureRandom.Seeded", Seeded.class.getName());
        }

        public static class Seeded extends SecureRandomSpi {
            private final Random random = new Random(1);

            @Override
            protected void engineSetSeed(byte[] seed) {
                // The seed is fixed.
            }

            @Override
            protected void engineNextBytes(byte[] bytes) {
                random.nextBytes(bytes);
            }

            @Override
            protected byte[] engineGenerateSeed(int size) {
                return new byte[size];
            }
        }
    }

    private record Topic(String name, Uuid id, int partitions) implements CoordinatorMetadataImage.TopicMetadata {
        @Override
        public int partitionCount() {
            return partitions;
        }

        @Override
        public List<String> partitionRacks(int partition) {
            return new ArrayList<>();
        }
    }

    private record Image(Map<String, Topic> topics, long version) implements CoordinatorMetadataImage {
        @Override
        public Set<Uuid> topicIds() {
            Set<Uuid> ids = new TreeSet<>();
            topics.values().forEach(topic -> ids.add(topic.id()));
            return ids;
        }

        @Override
        public Set<String> topicNames() {
            return topics.keySet();
        }

        @Override
        public Optional<TopicMetadata> topicMetadata(String name) {
            return Optional.ofNullable(topics.get(name));
        }

        @Override
        public Optional<TopicMetadata> topicMetadata(Uuid id) {
            return topics.values().stream().filter(topic -> topic.id().equals(id)).map(topic -> (TopicMetadata) topic)
                .findFirst();
        }

        @Override
        public CoordinatorMetadataDelta emptyDelta() {
            return CoordinatorMetadataDelta.EMPTY;
        }

        @Override
        public boolean isEmpty() {
            return topics.isEmpty();
        }
    }

    private record Delta(Image image, Set<Uuid> createdTopicIds, Set<Uuid> changedTopicIds, Set<Uuid> deletedTopicIds)
        implements CoordinatorMetadataDelta { }

    private static class Clock implements Time {
        private long now = 1_700_000_000_000L;

        @Override
        public long milliseconds() {
            return now;
        }

        @Override
        public long nanoseconds() {
            return now * 1_000_000;
        }

        @Override
        public void sleep(long ms) {
            now += ms;
        }

        @Override
        public void waitObject(Object object, Supplier<Boolean> condition, long deadlineMs) {
            throw new UnsupportedOperationException();
        }
    }

    private record Deadline(long at, CoordinatorTimer.TimeoutOperation<CoordinatorRecord> operation) { }

    /** Only the timers of members. */
    private class Timer implements CoordinatorTimer<CoordinatorRecord> {
        private final Map<String, Deadline> deadlines = new HashMap<>();

        @Override
        public void schedule(String key, long delay, TimeUnit unit, boolean retry,
                             TimeoutOperation<CoordinatorRecord> operation) {
            if (key.contains("-timeout-") || key.startsWith("join-") || key.startsWith("sync-")) {
                deadlines.put(key, new Deadline(clock.now + unit.toMillis(delay), operation));
            }
        }

        @Override
        public void schedule(String key, long delay, TimeUnit unit, boolean retry, long backoff,
                             TimeoutOperation<CoordinatorRecord> operation) {
            schedule(key, delay, unit, retry, operation);
        }

        @Override
        public void scheduleIfAbsent(String key, long delay, TimeUnit unit, boolean retry,
                                     TimeoutOperation<CoordinatorRecord> operation) {
            if (!deadlines.containsKey(key)) {
                schedule(key, delay, unit, retry, operation);
            }
        }

        @Override
        public void cancel(String key) {
            deadlines.remove(key);
        }

        @Override
        public boolean isScheduled(String key) {
            return deadlines.containsKey(key);
        }

        /** The next one by time, then by what it is for, then by member. */
        private Optional<Map.Entry<String, Deadline>> next() {
            Comparator<Map.Entry<String, Deadline>> order = Comparator.comparingLong(entry -> entry.getValue().at());
            List<String> kinds = List.of("session", "rebalance", "join", "sync");
            order = order.thenComparing(entry -> kinds.indexOf(entry.getKey().split("-")[0]));
            return deadlines.entrySet().stream().min(order.thenComparing(Map.Entry::getKey));
        }
    }

    private static class NoExecutor implements CoordinatorExecutor<CoordinatorRecord> {
        @Override
        public <R> boolean schedule(String key, TaskRunnable<R> task, TaskOperation<CoordinatorRecord, R> operation) {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean isScheduled(String key) {
            return false;
        }

        @Override
        public void cancel(String key) { }
    }

    private static class Context implements AuthorizableRequestContext {
        @Override
        public String listenerName() {
            return "PLAINTEXT";
        }

        @Override
        public SecurityProtocol securityProtocol() {
            return SecurityProtocol.PLAINTEXT;
        }

        @Override
        public KafkaPrincipal principal() {
            return KafkaPrincipal.ANONYMOUS;
        }

        @Override
        public InetAddress clientAddress() {
            try {
                return InetAddress.getByAddress(new byte[] {127, 0, 0, 1});
            } catch (UnknownHostException error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public int requestType() {
            return 68;
        }

        @Override
        public int requestVersion() {
            return 9;
        }

        @Override
        public String clientId() {
            return "client";
        }

        @Override
        public int correlationId() {
            return 0;
        }
    }

    /** A client. It does what it is told, mostly. */
    private static class Member {
        private String id;
        private int epoch;
        private boolean heard = true;
        private List<String> subscribed = List.of();
        private TreeMap<Uuid, List<Integer>> owned = new TreeMap<>();
        /** What a member of the classic protocol has to do next, or none if it speaks the consumer protocol. */
        private Next next;
        private TreeMap<String, List<Integer>> assigned = new TreeMap<>();
    }

    private enum Next { JOIN, SYNC, HEARTBEAT }

    private final Random random;
    private final GroupCoordinatorRecordSerde serde = new GroupCoordinatorRecordSerde();
    private final Context context = new Context();
    private final Clock clock = new Clock();
    private final Timer timer = new Timer();
    private final Member[] members = new Member[MEMBERS];
    private final GroupCoordinatorShard shard;
    private final boolean isMixed;
    private Image image = new Image(new TreeMap<>(), 1);
    private long offset = 0;
    private int named = 0;

    public static void main(String[] args) {
        Security.insertProviderAt(new SeededRandoms(), 1);
        Random random = new Random(20_260);
        int groups = args.length == 0 ? 12 : Integer.parseInt(args[0]);
        for (int group = 0; group < groups; group++) {
            new ConsumerGroupCases(random, group % 2 == 0 ? 0 : 1_000, group % 3 == 2).run();
        }
    }

    private ConsumerGroupCases(Random random, int intervalMs, boolean isMixed) {
        this.random = random;
        this.isMixed = isMixed;
        Properties properties = new Properties();
        properties.put("group.consumer.assignors", "range");
        properties.put("group.consumer.assignment.interval.ms", intervalMs);
        properties.put("group.consumer.migration.policy", "disabled");
        AbstractConfig settings = new AbstractConfig(
            Utils.mergeConfigs(List.of(GroupCoordinatorConfig.CONFIG_DEF, ShareGroupConfig.CONFIG_DEF)), properties, false);
        GroupCoordinatorConfig config = new GroupCoordinatorConfig(settings);
        ShareGroupConfig share = new ShareGroupConfig(settings);
        GroupCoordinatorShard.Builder builder =
            new GroupCoordinatorShard.Builder(config, new GroupConfigManager(Map.of(), config, share));
        builder.withAuthorizerPlugin(Optional.empty());
        shard = builder
            .withLogContext(new LogContext())
            .withTime(clock)
            .withTimer(timer)
            .withExecutor(new NoExecutor())
            .withCoordinatorMetrics(new GroupCoordinatorMetrics())
            .withTopicPartition(new TopicPartition("__consumer_offsets", 0))
            .withSnapshotRegistry(new SnapshotRegistry(new LogContext()))
            .build();
        shard.onLoaded(image);
        say("group", intervalMs);
    }

    private void run() {
        for (String name : TOPICS) {
            topic(name);
        }
        for (int step = 0; step < 60; step++) {
            int what = random.nextInt(100);
            if (what < 70) {
                act(random.nextInt(MEMBERS));
            } else if (what < 78) {
                topic(TOPICS[random.nextInt(TOPICS.length)]);
            } else if (what < 81) {
                gone(TOPICS[random.nextInt(TOPICS.length)]);
            } else if (what < 92) {
                pass(random.nextInt(10) == 0 ? 46_000 : random.nextInt(3_000));
            } else if (what < 98) {
                commit();
            } else {
                delete();
            }
            state();
        }
        System.out.println();
    }

    private void topic(String name) {
        Topic known = image.topics().get(name);
        Topic topic = known == null
            ? new Topic(name, new Uuid(random.nextLong(), random.nextLong()), 1 + random.nextInt(5))
            : new Topic(name, known.id(), known.partitions() + 1);
        TreeMap<String, Topic> topics = new TreeMap<>(image.topics());
        topics.put(name, topic);
        Set<Uuid> created = known == null ? Set.of(topic.id()) : Set.of();
        update(topics, created, Set.of(topic.id()), Set.of());
        say("topic", name, hex(topic.id()), topic.partitions());
    }

    private void gone(String name) {
        TreeMap<String, Topic> topics = new TreeMap<>(image.topics());
        Topic topic = topics.remove(name);
        if (topic == null) {
            topic(name);
        } else {
            update(topics, Set.of(), Set.of(), Set.of(topic.id()));
            say("gone", name);
        }
    }

    private void update(TreeMap<String, Topic> topics, Set<Uuid> created, Set<Uuid> changed, Set<Uuid> deleted) {
        Image old = image;
        image = new Image(topics, old.version() + 1);
        shard.onMetadataUpdate(new Delta(old, created, changed, deleted), image);
    }

    private void pass(long ms) {
        say("pass", ms);
        long end = clock.now + ms;
        while (true) {
            Optional<Map.Entry<String, Deadline>> next = timer.next().filter(entry -> entry.getValue().at() <= end);
            if (next.isEmpty()) {
                break;
            }
            Deadline deadline = next.get().getValue();
            timer.deadlines.remove(next.get().getKey());
            clock.now = Math.max(clock.now, deadline.at());
            append(deadline.operation().generateRecords());
        }
        clock.now = end;
    }

    private void act(int slot) {
        Member member = members[slot];
        if (member == null && isMixed && hasMembers() && random.nextInt(2) == 0) {
            member = new Member();
            member.id = "";
            member.next = Next.JOIN;
            while (member.subscribed.isEmpty()) {
                member.subscribed = subscription();
            }
            members[slot] = member;
        }
        if (member != null && member.next != null) {
            actClassic(slot, member);
            return;
        }
        ConsumerGroupHeartbeatRequestData request = new ConsumerGroupHeartbeatRequestData().setGroupId(GROUP);
        if (slot < STATIC_MEMBERS) {
            request.setInstanceId("instance-" + slot);
        }
        if (member == null) {
            Member joining = new Member();
            joining.id = random.nextInt(8) == 0 ? "member-" + slot : "member-" + slot + "-" + named++;
            // With nothing Kafka would assign by the subscriptions of the others (GroupMetadataManager asks the group
            // for its subscription type, which doesn't know the member yet), and leave partitions to nobody.
            do {
                joining.subscribed = subscription();
            } while (joining.subscribed.isEmpty());
            request.setMemberId(joining.id).setMemberEpoch(0).setRebalanceTimeoutMs(5_000)
                .setSubscribedTopicNames(joining.subscribed).setTopicPartitions(List.of());
            members[slot] = joining;
            beat(slot, request, true);
            return;
        }
        request.setMemberId(member.id).setMemberEpoch(member.epoch);
        int what = random.nextInt(40);
        if (what == 0) {
            members[slot] = null;
            beat(slot, request.setMemberEpoch(-1), true);
            return;
        }
        if (what == 1 && slot < STATIC_MEMBERS) {
            members[slot] = null;
            beat(slot, request.setMemberEpoch(-2), true);
            return;
        }
        if (what == 2) {
            request.setMemberEpoch(Math.max(1, member.epoch + random.nextInt(4) - 2));
        }
        boolean changes = what == 3 || what == 4;
        if (changes) {
            member.subscribed = subscription();
        }
        if (changes || !member.heard) {
            request.setSubscribedTopicNames(member.subscribed).setRebalanceTimeoutMs(5_000);
        }
        if (what == 5) {
            request.setServerAssignor("range").setRebalanceTimeoutMs(4_000 + random.nextInt(1_000));
        }
        if (what < 32) {
            List<ConsumerGroupHeartbeatRequestData.TopicPartitions> owned = new ArrayList<>();
            member.owned.forEach((id, partitions) -> owned.add(
                new ConsumerGroupHeartbeatRequestData.TopicPartitions().setTopicId(id).setPartitions(partitions)));
            request.setTopicPartitions(owned);
        }
        beat(slot, request, random.nextInt(8) != 0);
    }

    private List<String> subscription() {
        List<String> names = new ArrayList<>();
        for (String name : TOPICS) {
            if (random.nextInt(3) != 0) {
                names.add(name);
            }
        }
        return names;
    }

    private void beat(int slot, ConsumerGroupHeartbeatRequestData request, boolean heard) {
        TreeMap<Uuid, Collection<Integer>> owned = null;
        if (request.topicPartitions() != null) {
            owned = new TreeMap<>();
            for (ConsumerGroupHeartbeatRequestData.TopicPartitions topic : request.topicPartitions()) {
                owned.put(topic.topicId(), topic.partitions());
            }
        }
        List<String> names = request.subscribedTopicNames();
        say("beat", request.memberId(), request.memberEpoch(), dash(request.instanceId()), request.rebalanceTimeoutMs(),
            names == null ? "-" : "[" + String.join(",", names) + "]", dash(request.serverAssignor()), show(owned));
        Member member = members[slot];
        try {
            CoordinatorResult<ConsumerGroupHeartbeatResponseData, CoordinatorRecord> result =
                shard.consumerGroupHeartbeat(context, request);
            ConsumerGroupHeartbeatResponseData response = result.response();
            TreeMap<Uuid, List<Integer>> assigned = null;
            TreeMap<Uuid, Collection<Integer>> shown = null;
            if (response.assignment() != null) {
                assigned = new TreeMap<>();
                shown = new TreeMap<>();
                for (ConsumerGroupHeartbeatResponseData.TopicPartitions topic : response.assignment().topicPartitions()) {
                    assigned.put(topic.topicId(), topic.partitions().stream().sorted().toList());
                    shown.put(topic.topicId(), topic.partitions());
                }
            }
            say("answer", 0, response.memberEpoch(), show(shown), "-");
            append(result);
            if (member != null && request.memberEpoch() >= 0) {
                member.heard = heard;
                if (heard) {
                    member.epoch = response.memberEpoch();
                    member.owned = assigned == null ? member.owned : assigned;
                }
            }
        } catch (ApiException error) {
            say("answer", Errors.forException(error).code(), 0, "-", error.getMessage());
            if (member != null) {
                members[slot] = null;
            }
        }
    }

    private boolean hasMembers() {
        return !describe().members().isEmpty();
    }

    private void actClassic(int slot, Member member) {
        String instance = slot < STATIC_MEMBERS ? "instance-" + slot : null;
        int what = random.nextInt(30);
        if (!member.id.isEmpty() && what == 0) {
            leave(slot, instance);
        } else if (!hasMembers()) {
            // It would begin a classic group.
            members[slot] = null;
            pass(1);
        } else if (describe().members().stream().noneMatch(other -> other.memberType() == 1)) {
            // Kafka leaves new partitions to nobody then, until somebody joins. FluxMQ sends a member to join.
            pass(1);
        } else if (member.next == Next.JOIN || what == 1) {
            if (what == 2) {
                member.subscribed = subscription();
            }
            join(slot, instance);
        } else if (member.next == Next.SYNC) {
            sync(slot, instance, member.epoch - (what == 3 ? 1 : 0));
        } else {
            heart(slot, instance, member.epoch - (what == 3 ? 1 : 0));
        }
    }

    private void join(int slot, String instance) {
        Member member = members[slot];
        List<TopicPartition> owned = new ArrayList<>();
        member.assigned.forEach((topic, indexes) -> indexes.forEach(index -> owned.add(new TopicPartition(topic, index))));
        byte[] subscription = bytes(ConsumerProtocol.serializeSubscription(
            new ConsumerPartitionAssignor.Subscription(member.subscribed, null, owned, member.epoch, Optional.empty())));
        JoinGroupRequestData request = new JoinGroupRequestData().setGroupId(GROUP).setMemberId(member.id)
            .setGroupInstanceId(instance).setProtocolType("consumer").setSessionTimeoutMs(10_000)
            .setRebalanceTimeoutMs(5_000);
        request.protocols().add(
            new JoinGroupRequestData.JoinGroupRequestProtocol().setName("range").setMetadata(subscription));
        CompletableFuture<JoinGroupResponseData> future = new CompletableFuture<>();
        CoordinatorResult<Void, CoordinatorRecord> result = null;
        JoinGroupResponseData response;
        try {
            result = shard.classicGroupJoin(context, request, future);
            if (result.appendFuture() != null) {
                result.appendFuture().complete(null);
            }
            response = future.getNow(null);
        } catch (ApiException error) {
            response = new JoinGroupResponseData().setErrorCode(Errors.forException(error).code());
        }
        String fresh = member.id.isEmpty() && !response.memberId().isEmpty() ? hex(Uuid.fromString(response.memberId())) : "0";
        say("join", member.id.isEmpty() ? "-" : member.id, dash(instance), HexFormat.of().formatHex(subscription), fresh);
        say("joined", response.errorCode(), response.memberId().isEmpty() ? "-" : response.memberId(),
            response.generationId(), dash("".equals(response.protocolName()) ? null : response.protocolName()));
        if (result != null) {
            append(result);
        }
        if (response.errorCode() == Errors.NONE.code()) {
            member.id = response.memberId();
            member.epoch = response.generationId();
            member.next = Next.SYNC;
        } else if (response.errorCode() == Errors.MEMBER_ID_REQUIRED.code()) {
            member.id = response.memberId();
        } else {
            members[slot] = null;
        }
    }

    private void sync(int slot, String instance, int generation) {
        Member member = members[slot];
        say("sync", member.id, dash(instance), generation);
        SyncGroupRequestData request = new SyncGroupRequestData().setGroupId(GROUP).setMemberId(member.id)
            .setGroupInstanceId(instance).setGenerationId(generation).setProtocolType("consumer").setProtocolName("range");
        CompletableFuture<SyncGroupResponseData> future = new CompletableFuture<>();
        try {
            var result = shard.classicGroupSync(context, request, future);
            if (result.appendFuture() != null) {
                result.appendFuture().complete(null);
            }
            SyncGroupResponseData response = future.getNow(null);
            TreeMap<String, List<Integer>> assigned = new TreeMap<>();
            if (response.assignment().length > 0) {
                var assignment = ConsumerProtocol.deserializeAssignment(java.nio.ByteBuffer.wrap(response.assignment()));
                for (TopicPartition partition : assignment.partitions()) {
                    assigned.computeIfAbsent(partition.topic(), topic -> new ArrayList<>()).add(partition.partition());
                }
            }
            List<String> topics = new ArrayList<>();
            assigned.forEach((topic, indexes) ->
                topics.add(topic + ":" + String.join(",", indexes.stream().sorted().map(String::valueOf).toList())));
            say("synced", response.errorCode(), "[" + String.join(";", topics) + "]");
            append(result);
            boolean gaveUp = member.assigned.entrySet().stream().anyMatch(topic ->
                !assigned.getOrDefault(topic.getKey(), List.of()).containsAll(topic.getValue()));
            member.assigned = assigned;
            member.next = gaveUp ? Next.JOIN : Next.HEARTBEAT;
        } catch (ApiException error) {
            say("synced", Errors.forException(error).code(), "-");
            refused(slot, error);
        }
    }

    private void heart(int slot, String instance, int generation) {
        Member member = members[slot];
        say("heart", member.id, dash(instance), generation);
        try {
            var result = shard.classicGroupHeartbeat(context, new HeartbeatRequestData().setGroupId(GROUP)
                .setMemberId(member.id).setGroupInstanceId(instance).setGenerationId(generation));
            say("code", result.response().errorCode());
            append(result);
            if (result.response().errorCode() == Errors.REBALANCE_IN_PROGRESS.code()) {
                member.next = Next.JOIN;
            }
        } catch (ApiException error) {
            say("code", Errors.forException(error).code());
            refused(slot, error);
        }
    }

    private void refused(int slot, ApiException error) {
        if (Errors.forException(error) == Errors.REBALANCE_IN_PROGRESS) {
            members[slot].next = Next.JOIN;
        } else {
            members[slot] = null;
        }
    }

    private void leave(int slot, String instance) {
        Member member = members[slot];
        members[slot] = null;
        say("leave", member.id, dash(instance));
        try {
            var result = shard.classicGroupLeave(context, new LeaveGroupRequestData().setGroupId(GROUP)
                .setMembers(List.of(new LeaveGroupRequestData.MemberIdentity().setMemberId(member.id)
                    .setGroupInstanceId(instance))));
            say("code", result.response().members().get(0).errorCode());
            append(result);
        } catch (ApiException error) {
            say("code", Errors.forException(error).code());
        }
    }

    private static byte[] bytes(java.nio.ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private void commit() {
        int slot = random.nextInt(MEMBERS);
        Member member = members[slot];
        Topic topic = image.topics().get(TOPICS[random.nextInt(TOPICS.length)]);
        if (topic == null) {
            pass(1);
            return;
        }
        String id = member == null || member.id.isEmpty() ? "nobody" : member.id;
        int epoch = member == null ? random.nextInt(3) - 1 : member.epoch + random.nextInt(4) - 2;
        int partition = random.nextInt(topic.partitions());
        say("commit", id, epoch, topic.name(), partition);
        OffsetCommitRequestData request = new OffsetCommitRequestData().setGroupId(GROUP).setMemberId(id)
            .setGenerationIdOrMemberEpoch(epoch)
            .setTopics(List.of(new OffsetCommitRequestData.OffsetCommitRequestTopic().setName(topic.name())
                .setTopicId(topic.id())
                .setPartitions(List.of(new OffsetCommitRequestData.OffsetCommitRequestPartition()
                    .setPartitionIndex(partition).setCommittedOffset(7).setCommittedMetadata("")))));
        try {
            var result = shard.commitOffset(context, request);
            say("code", result.response().topics().get(0).partitions().get(0).errorCode());
            append(result);
        } catch (ApiException error) {
            say("code", Errors.forException(error).code());
        }
    }

    private void delete() {
        say("delete");
        var result = shard.deleteGroups(context, List.of(GROUP));
        say("code", result.response().iterator().next().errorCode());
        append(result);
    }

    private void append(CoordinatorResult<?, CoordinatorRecord> result) {
        for (CoordinatorRecord record : result.records()) {
            byte[] value = serde.serializeValue(record);
            say("record", HexFormat.of().formatHex(serde.serializeKey(record)),
                value == null ? "-" : HexFormat.of().formatHex(value));
            shard.replay(offset++, -1, (short) -1, record);
        }
    }

    private ConsumerGroupDescribeResponseData.DescribedGroup describe() {
        return shard.consumerGroupDescribe(List.of(GROUP), Long.MAX_VALUE).get(0);
    }

    private void state() {
        ConsumerGroupDescribeResponseData.DescribedGroup group = describe();
        say("state", group.errorCode() == 0 ? group.groupState() : "-", group.groupEpoch(), group.assignmentEpoch());
    }

    private static String show(TreeMap<Uuid, Collection<Integer>> partitions) {
        if (partitions == null) {
            return "-";
        }
        List<String> topics = new ArrayList<>();
        partitions.forEach((id, indexes) ->
            topics.add(hex(id) + ":" + String.join(",", indexes.stream().sorted().map(String::valueOf).toList())));
        return "[" + String.join(";", topics) + "]";
    }

    private static String hex(Uuid id) {
        return String.format("%016x%016x", id.getMostSignificantBits(), id.getLeastSignificantBits());
    }

    private static String dash(String text) {
        return text == null ? "-" : text;
    }

    private static void say(Object... words) {
        System.out.println(String.join(" ", java.util.Arrays.stream(words).map(String::valueOf).toList()));
    }
}
