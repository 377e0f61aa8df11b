import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.Provider;
import java.security.SecureRandomSpi;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.message.DescribeGroupsResponseData;
import org.apache.kafka.common.message.HeartbeatRequestData;
import org.apache.kafka.common.message.JoinGroupRequestData;
import org.apache.kafka.common.message.JoinGroupResponseData;
import org.apache.kafka.common.message.LeaveGroupRequestData;
import org.apache.kafka.common.message.OffsetCommitRequestData;
import org.apache.kafka.common.message.SyncGroupRequestData;
import org.apache.kafka.common.message.SyncGroupResponseData;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.JoinGroupResponse;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.coordinator.common.runtime.CoordinatorExecutor;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorResult;
import org.apache.kafka.coordinator.common.runtime.CoordinatorTimer;
import org.apache.kafka.coordinator.group.GroupConfigManager;
import org.apache.kafka.coordinator.group.GroupCoordinatorConfig;
import org.apache.kafka.coordinator.group.GroupCoordinatorShard;
import org.apache.kafka.coordinator.group.GroupMetadataManager;
import org.apache.kafka.coordinator.group.generated.GroupMetadataValue;
import org.apache.kafka.coordinator.group.metrics.GroupCoordinatorMetrics;
import org.apache.kafka.coordinator.group.modern.share.ShareGroupConfig;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.timeline.SnapshotRegistry;

/**
 * Prints what Kafka's own group coordinator does with random members of classic groups: the cases of
 * core/coordinator/tests/data/classic_groups.txt. With a number, that many groups.
 *
 * <pre>java -cp "$(scripts/kafka.sh libs)/*" java-tests/kafka/ClassicGroupCases.java</pre>
 *
 * A group begins with "group MAX_SIZE". Then comes what happens:
 *
 * <pre>
 * join REQUEST VERSION ID MEMBER INSTANCE SESSION_MS REBALANCE_MS TYPE NAME:METADATA,…     ID: of a new member
 * sync REQUEST VERSION GENERATION MEMBER INSTANCE TYPE NAME MEMBER:ASSIGNMENT,…
 * beat GENERATION MEMBER INSTANCE
 * leave MEMBER/INSTANCE,…
 * commit GENERATION MEMBER INSTANCE
 * pass MS
 * </pre>
 *
 * and what it led to: "code CODE,…", "record …" for each record of the group, "joined REQUEST …" and "synced REQUEST …"
 * for each answer, "state …" or "state same". A record has its time only where it counts: when no member is left. Null
 * is a dash, an empty text two quotes, bytes are hexadecimal, members are in the order of their ids.
 *
 * Kafka lets the order of a hash map say who leads after a leader has gone. The random part of each member's id is
 * chosen so that this is the order of the ids.
 */
public class ClassicGroupCases {
    private static final String GROUP = "group";
    private static final String CLIENT = "c";
    private static final String[] INSTANCES = {null, null, null, "c1", "c2"};
    private static final String[][] PROTOCOLS = {
        {"range", "roundrobin"}, {"roundrobin", "range"}, {"range"}, {"range", "sticky", "roundrobin"},
        {"sticky", "range"},
    };

    /** What java.util.UUID draws its bytes from. */
    public static class Chosen extends SecureRandomSpi {
        private static byte[] next = new byte[16];

        @Override
        protected void engineSetSeed(byte[] seed) { }

        @Override
        protected void engineNextBytes(byte[] bytes) {
            System.arraycopy(next, 0, bytes, 0, Math.min(next.length, bytes.length));
        }

        @Override
        protected byte[] engineGenerateSeed(int count) {
            return new byte[count];
        }
    }

    private static class ChosenProvider extends Provider {
        private ChosenProvider() {
            super("Chosen", "1", "");
            put("SecureRandom.Chosen", Chosen.class.getName());
        }
    }

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

    /** Only the timers of classic groups. */
    private class Timer implements CoordinatorTimer<CoordinatorRecord> {
        private final Map<String, Deadline> deadlines = new HashMap<>();

        @Override
        public void schedule(String key, long delay, TimeUnit unit, boolean retry,
                             TimeoutOperation<CoordinatorRecord> operation) {
            if (key.startsWith("heartbeat-") || key.startsWith("join-") || key.startsWith("sync-")) {
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

        /** The next one by time; sessions first, by member. */
        private Optional<Map.Entry<String, Deadline>> next() {
            Comparator<Map.Entry<String, Deadline>> order = Comparator.comparingLong(entry -> entry.getValue().at());
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

    private record Context(short version) implements AuthorizableRequestContext {
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
            return 11;
        }

        @Override
        public int requestVersion() {
            return version;
        }

        @Override
        public String clientId() {
            return CLIENT;
        }

        @Override
        public int correlationId() {
            return 0;
        }
    }

    private enum Next { JOIN, SYNC, STEADY }

    /** A client. It does what it is told, mostly. */
    private static class Client {
        private String id = "";
        private int generation = -1;
        private Next next = Next.JOIN;
        private int waitsFor = -1;
        private List<String> led = List.of();
        private String type;
        private String protocol;
        private String[] protocols = PROTOCOLS[0];
    }

    private final Random random;
    private final Clock clock = new Clock();
    private final Timer timer = new Timer();
    private final Client[] clients = new Client[INSTANCES.length];
    private final TreeMap<Integer, Runnable> answers = new TreeMap<>();
    private final GroupCoordinatorShard shard;
    /** Of all members: Kafka gives a static one that comes back the timeout of before, until its first heartbeat. */
    private final int sessionMs;
    private long offset = 0;
    private String last = "";
    private int requests = 0;
    private int drawn = 0;

    public static void main(String[] args) {
        Security.insertProviderAt(new ChosenProvider(), 1);
        Random random = new Random(20_261);
        int groups = args.length == 0 ? 12 : Integer.parseInt(args[0]);
        for (int group = 0; group < groups; group++) {
            new ClassicGroupCases(random, group % 3 == 2 ? 3 : 1_000).run();
        }
    }

    private ClassicGroupCases(Random random, int maxSize) {
        this.random = random;
        sessionMs = 6_000 + 1_000 * random.nextInt(5);
        Properties properties = new Properties();
        properties.put("group.max.size", maxSize);
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
        shard.onLoaded(CoordinatorMetadataImage.EMPTY);
        for (int slot = 0; slot < clients.length; slot++) {
            clients[slot] = new Client();
        }
        say("group", maxSize);
    }

    private void run() {
        for (int step = 0; step < 150; step++) {
            if (random.nextInt(100) < 78) {
                act(random.nextInt(clients.length));
            } else {
                int what = random.nextInt(40);
                int little = what < 14 ? 3_000 + random.nextInt(1_000) : random.nextInt(1_500);
                pass(what == 0 ? 61_000 : what < 3 ? 11_000 : little);
            }
            answers.values().forEach(Runnable::run);
            answers.clear();
            state();
        }
        System.out.println();
    }

    private void act(int slot) {
        Client client = clients[slot];
        int what = random.nextInt(100);
        if (client.waitsFor >= 0 && what < 85) {
            // It waits; the thread beside it sends heartbeats, once it has an id.
            if (client.id.isEmpty()) {
                pass(random.nextInt(500));
            } else {
                beat(slot);
            }
        } else if (what < 2) {
            client.id = "";
            client.next = Next.JOIN;
            join(slot);
        } else if (what < 5) {
            leave(slot);
        } else if (what < 8) {
            commit(slot);
        } else if (what < 11) {
            client.generation += random.nextInt(3) - 1;
            sync(slot);
        } else if (client.next == Next.JOIN) {
            join(slot);
        } else if (client.next == Next.SYNC) {
            sync(slot);
        } else if (what < 24) {
            join(slot);
        } else {
            beat(slot);
        }
    }

    /** Chooses the next UUID: the member id that it makes is in a later bucket the later it is in the order of ids. */
    private UUID draw(String prefix) {
        int digit = prefix.equals(CLIENT) ? drawn % 8 : (prefix.equals("c1") ? 8 : 12) + drawn % 4;
        for (int tail = 0; ; tail++) {
            byte[] bytes = new byte[16];
            bytes[0] = (byte) (digit << 4);
            bytes[2] = (byte) (drawn >> 8);
            bytes[3] = (byte) drawn;
            bytes[6] = 0x40;
            bytes[8] = (byte) 0x80;
            bytes[14] = (byte) (tail >> 8);
            bytes[15] = (byte) tail;
            String hex = HexFormat.of().formatHex(bytes);
            UUID id = new UUID(Long.parseUnsignedLong(hex.substring(0, 16), 16),
                Long.parseUnsignedLong(hex.substring(16), 16));
            int hash = (prefix + "-" + id).hashCode();
            if (((hash ^ hash >>> 16) & 15) == digit) {
                Chosen.next = bytes;
                drawn++;
                return id;
            }
        }
    }

    private void join(int slot) {
        Client client = clients[slot];
        int number = requests++;
        int version = INSTANCES[slot] != null ? 5 + random.nextInt(5)
            : random.nextInt(3) == 0 ? 1 + random.nextInt(3) : 4 + random.nextInt(6);
        if (random.nextInt(4) == 0) {
            client.protocols = PROTOCOLS[random.nextInt(PROTOCOLS.length)];
        }
        String[] supported = random.nextInt(40) == 0 ? new String[] {"other"} : client.protocols;
        String type = random.nextInt(40) == 0 ? "connect" : "consumer";
        int rebalance = 5_000 + 5_000 * random.nextInt(6);
        String instance = random.nextInt(60) == 0 ? "c1" : INSTANCES[slot];
        instance = version < 5 ? null : instance;
        String prefix = instance == null ? CLIENT : instance;
        String id = client.id.isEmpty() ? draw(prefix).toString() : "-";
        JoinGroupRequestData.JoinGroupRequestProtocolCollection protocols =
            new JoinGroupRequestData.JoinGroupRequestProtocolCollection();
        List<String> shown = new ArrayList<>();
        for (String name : supported) {
            byte[] metadata = {0, 0, 0, 0, 0, 0, -1, -1, -1, -1, (byte) (random.nextInt(8) == 0 ? 1 : 0)};
            protocols.add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName(name).setMetadata(metadata));
            shown.add(name + ":" + hex(metadata));
        }
        say("join", number, version, id, text(client.id), text(instance), sessionMs, rebalance, type,
            String.join(",", shown));
        JoinGroupRequestData request = new JoinGroupRequestData().setGroupId(GROUP).setMemberId(client.id)
            .setGroupInstanceId(instance).setSessionTimeoutMs(sessionMs).setRebalanceTimeoutMs(rebalance)
            .setProtocolType(type).setProtocols(protocols);
        CompletableFuture<JoinGroupResponseData> future = new CompletableFuture<>();
        client.waitsFor = number;
        future.thenAccept(data -> answers.put(number,
            () -> joined(client, number, new JoinGroupResponse(data, (short) version).data())));
        try {
            append(shard.classicGroupJoin(new Context((short) version), request, future));
        } catch (RuntimeException error) {
            future.complete(new JoinGroupResponseData().setErrorCode(Errors.forException(error).code()));
        }
    }

    private void joined(Client client, int number, JoinGroupResponseData data) {
        List<String> members = new ArrayList<>();
        data.members().forEach(member ->
            members.add(text(member.memberId()) + "/" + text(member.groupInstanceId()) + "/" + hex(member.metadata())));
        say("joined", number, data.errorCode(), data.generationId(), text(data.protocolType()), text(data.protocolName()),
            text(data.leader()), text(data.memberId()), data.skipAssignment(), list(members));
        if (client.waitsFor != number) {
            return;
        }
        client.waitsFor = -1;
        Errors error = Errors.forCode(data.errorCode());
        if (error == Errors.NONE) {
            client.id = data.memberId();
            client.generation = data.generationId();
            client.type = data.protocolType();
            client.protocol = data.protocolName();
            client.led = data.members().stream().map(JoinGroupResponseData.JoinGroupResponseMember::memberId).sorted().toList();
            client.next = Next.SYNC;
        } else if (error == Errors.MEMBER_ID_REQUIRED) {
            client.id = data.memberId();
            client.next = Next.JOIN;
        } else {
            rejected(client, error);
        }
    }

    private void rejected(Client client, Errors error) {
        if (error == Errors.UNKNOWN_MEMBER_ID || error == Errors.FENCED_INSTANCE_ID || error == Errors.GROUP_MAX_SIZE_REACHED) {
            client.id = "";
        }
        client.next = Next.JOIN;
    }

    private void sync(int slot) {
        Client client = clients[slot];
        int number = requests++;
        int version = 3 + random.nextInt(client.type == null ? 2 : 3);
        String type = version < 5 ? null : client.type;
        String name = version < 5 ? null : random.nextInt(40) == 0 ? "other" : client.protocol;
        SyncGroupRequestData request = new SyncGroupRequestData().setGroupId(GROUP).setMemberId(client.id)
            .setGenerationId(client.generation).setGroupInstanceId(INSTANCES[slot]).setProtocolType(type).setProtocolName(name);
        List<String> shown = new ArrayList<>();
        for (String member : client.led) {
            if (random.nextInt(6) != 0) {
                byte[] assignment = {(byte) random.nextInt(256), (byte) random.nextInt(256)};
                request.assignments().add(new SyncGroupRequestData.SyncGroupRequestAssignment().setMemberId(member)
                    .setAssignment(assignment));
                shown.add(member + ":" + hex(assignment));
            }
        }
        say("sync", number, version, client.generation, text(client.id), text(INSTANCES[slot]), text(type), text(name), list(shown));
        CompletableFuture<SyncGroupResponseData> future = new CompletableFuture<>();
        client.waitsFor = number;
        future.thenAccept(data -> answers.put(number, () -> synced(client, number, data)));
        append(shard.classicGroupSync(new Context((short) version), request, future));
    }

    private void synced(Client client, int number, SyncGroupResponseData data) {
        say("synced", number, data.errorCode(), text(data.protocolType()), text(data.protocolName()), hex(data.assignment()));
        if (client.waitsFor != number) {
            return;
        }
        client.waitsFor = -1;
        if (data.errorCode() == 0) {
            client.next = Next.STEADY;
        } else {
            rejected(client, Errors.forCode(data.errorCode()));
        }
    }

    private void beat(int slot) {
        Client client = clients[slot];
        String instance = random.nextInt(50) == 0 ? "c2" : INSTANCES[slot];
        say("beat", client.generation, text(client.id), text(instance));
        Errors error;
        try {
            var result = shard.classicGroupHeartbeat(new Context((short) 4), new HeartbeatRequestData().setGroupId(GROUP)
                .setGenerationId(client.generation).setMemberId(client.id).setGroupInstanceId(instance));
            error = Errors.forCode(result.response().errorCode());
        } catch (ApiException exception) {
            error = Errors.forException(exception);
        }
        say("code", error.code());
        if (error != Errors.NONE && client.waitsFor < 0) {
            rejected(client, error);
        }
    }

    private void leave(int slot) {
        List<LeaveGroupRequestData.MemberIdentity> leaving = new ArrayList<>();
        List<String> shown = new ArrayList<>();
        for (int count = random.nextInt(3) == 0 ? 3 : 1; count > 0; count--) {
            int who = count == 1 ? slot : random.nextInt(clients.length);
            String id = INSTANCES[who] != null && random.nextBoolean() ? "" : clients[who].id;
            leaving.add(new LeaveGroupRequestData.MemberIdentity().setMemberId(id).setGroupInstanceId(INSTANCES[who]));
            shown.add(text(id) + "/" + text(INSTANCES[who]));
        }
        say("leave", String.join(",", shown));
        try {
            var result = shard.classicGroupLeave(new Context((short) 5),
                new LeaveGroupRequestData().setGroupId(GROUP).setMembers(leaving));
            List<String> codes = new ArrayList<>();
            result.response().members().forEach(member -> codes.add(String.valueOf(member.errorCode())));
            say("code", String.join(",", codes));
            append(result);
        } catch (ApiException error) {
            // As the service says it of each member.
            say("code", String.join(",", leaving.stream().map(member -> String.valueOf(Errors.forException(error).code())).toList()));
        }
    }

    private void commit(int slot) {
        Client client = clients[slot];
        boolean nobody = random.nextInt(4) == 0;
        int generation = nobody ? -1 : client.generation;
        String id = nobody ? "" : client.id;
        String instance = nobody ? null : INSTANCES[slot];
        say("commit", generation, text(id), text(instance));
        OffsetCommitRequestData request = new OffsetCommitRequestData().setGroupId(GROUP).setMemberId(id)
            .setGroupInstanceId(instance).setGenerationIdOrMemberEpoch(generation)
            .setTopics(List.of(new OffsetCommitRequestData.OffsetCommitRequestTopic().setName("t")
                .setPartitions(List.of(new OffsetCommitRequestData.OffsetCommitRequestPartition()
                    .setPartitionIndex(0).setCommittedOffset(7).setCommittedMetadata("")))));
        try {
            var result = shard.commitOffset(new Context((short) 9), request);
            say("code", result.response().topics().get(0).partitions().get(0).errorCode());
            append(result);
        } catch (ApiException error) {
            say("code", Errors.forException(error).code());
        }
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

    /** As the runtime does it: some records are not replayed where they were written. */
    private void append(CoordinatorResult<?, CoordinatorRecord> result) {
        for (CoordinatorRecord record : result.records()) {
            if (record.value() != null && record.value().message() instanceof GroupMetadataValue value) {
                List<String> members = new ArrayList<>();
                value.members().forEach(member -> members.add(String.join("/", member.memberId(), text(member.groupInstanceId()),
                    member.clientId(), String.valueOf(member.rebalanceTimeout()), String.valueOf(member.sessionTimeout()),
                    hex(member.subscription()), hex(member.assignment()))));
                say("record", text(value.protocolType()), value.generation(), text(value.protocol()), text(value.leader()),
                    value.members().isEmpty() ? value.currentStateTimestamp() : "-", list(members));
            }
            if (result.replayRecords()) {
                shard.replay(offset++, -1, (short) -1, record);
            }
        }
        if (result.appendFuture() != null) {
            result.appendFuture().complete(null);
        }
    }

    private void state() {
        DescribeGroupsResponseData.DescribedGroup group =
            shard.describeGroups(new Context((short) 6), List.of(GROUP), Long.MAX_VALUE).get(0);
        if (group.groupState().equals("Empty")) {
            forgetAddedMember();
        }
        List<String> members = new ArrayList<>();
        group.members().forEach(member -> members.add(String.join("/", member.memberId(), text(member.groupInstanceId()),
            hex(member.memberMetadata()), hex(member.memberAssignment()))));
        String state = String.join(" ", group.groupState(), text(group.protocolType()), text(group.protocolData()), list(members));
        say("state", state.equals(last) ? "same" : state);
        last = state;
    }

    /**
     * Kafka may keep from the first rebalance of a group that a member came while it waited, and waits longer than it
     * has to when the group has been empty and is joined again.
     */
    private void forgetAddedMember() {
        try {
            var field = GroupCoordinatorShard.class.getDeclaredField("groupMetadataManager");
            field.setAccessible(true);
            ((GroupMetadataManager) field.get(shard)).classicGroup(GROUP, Long.MAX_VALUE).setNewMemberAdded(false);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String list(List<String> words) {
        return words.isEmpty() ? "[]" : String.join(",", words.stream().sorted().toList());
    }

    private static String hex(byte[] bytes) {
        return bytes.length == 0 ? "''" : HexFormat.of().formatHex(bytes);
    }

    private static String text(String text) {
        return text == null ? "-" : text.isEmpty() ? "''" : text;
    }

    private static void say(Object... words) {
        System.out.println(String.join(" ", Arrays.stream(words).map(String::valueOf).toList()));
    }
}
