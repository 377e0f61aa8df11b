import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.MemberAssignment;
import org.apache.kafka.coordinator.group.api.assignor.PartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * Prints what Kafka's own assignors make of random groups: the cases of core/coordinator/tests/data/assignors.txt.
 *
 * <pre>java -cp "$(scripts/kafka.sh libs)/*" java-tests/kafka/AssignorCases.java</pre>
 *
 * A case is a line "case ASSIGNOR TYPE", a line "topic ID PARTITIONS" for each topic, a line
 * "member ID INSTANCE|- SUBSCRIBED|- TARGET|- RESULT|-" for each member, and an empty line. Topics are named by the
 * two halves of their ids, in hexadecimal. Groups go on for a few steps, each from the result of the one before.
 *
 * Kafka walks through members, topics and partitions in the order of its hash maps. Here they come in sorted maps, and
 * where Kafka copies topics into a hash set (uniform, same subscriptions) their ids are such that it comes out sorted.
 */
public class AssignorCases {
    private record Member(String instance, Set<Uuid> subscribed, Map<Uuid, Set<Integer>> target) { }

    private final Random random = new Random(20_260);
    private final TreeMap<Uuid, Integer> topics = new TreeMap<>();
    private final TreeMap<String, Member> members = new TreeMap<>();
    private int named = 0;

    public static void main(String[] args) {
        AssignorCases cases = new AssignorCases();
        for (int group = 0; group < 12; group++) {
            cases.group("uniform", new UniformAssignor(), SubscriptionType.HOMOGENEOUS);
            cases.group("uniform", new UniformAssignor(), SubscriptionType.HETEROGENEOUS);
        }
        for (int group = 0; group < 4; group++) {
            cases.group("range", new RangeAssignor(), SubscriptionType.HOMOGENEOUS);
            cases.group("range", new RangeAssignor(), SubscriptionType.HETEROGENEOUS);
        }
    }

    private void group(String name, PartitionAssignor assignor, SubscriptionType type) {
        topics.clear();
        members.clear();
        int topicCount = 1 + random.nextInt(6);
        while (topics.size() < topicCount) {
            topics.put(newTopic(type), random.nextInt(14));
        }
        Set<Uuid> all = new TreeSet<>(topics.keySet());
        int memberCount = 1 + random.nextInt(8);
        for (int i = 0; i < memberCount; i++) {
            join(type, all);
        }
        for (int step = 0; step < 4; step++) {
            run(name, assignor, type);
            change(type);
        }
    }

    private Uuid newTopic(SubscriptionType type) {
        return type == SubscriptionType.HOMOGENEOUS
            ? new Uuid(0, 2 + topics.size())
            : new Uuid(random.nextInt(3) - 1, random.nextLong());
    }

    private void join(SubscriptionType type, Set<Uuid> all) {
        String id = String.format("%c%d", 'a' + random.nextInt(26), named++);
        String instance = random.nextInt(4) == 0 ? String.format("%c-%d", 'z' - random.nextInt(26), named) : null;
        members.put(id, new Member(instance, subscription(type, all), Map.of()));
    }

    private Set<Uuid> subscription(SubscriptionType type, Set<Uuid> all) {
        TreeSet<Uuid> subscribed = new TreeSet<>(all);
        if (type == SubscriptionType.HETEROGENEOUS) {
            subscribed.removeIf(topic -> random.nextInt(3) == 0);
        }
        return subscribed;
    }

    /** Members come and go, topics grow and appear, subscriptions change. */
    private void change(SubscriptionType type) {
        topics.replaceAll((topic, partitions) -> partitions + (random.nextInt(3) == 0 ? random.nextInt(4) : 0));
        boolean resubscribe = random.nextInt(3) == 0;
        if (resubscribe && topics.size() < 8) {
            topics.put(newTopic(type), 1 + random.nextInt(9));
        }
        Set<Uuid> all = new TreeSet<>(topics.keySet());
        if (resubscribe && all.size() > 1 && random.nextBoolean()) {
            all.remove(new ArrayList<>(all).get(random.nextInt(all.size())));
        }
        for (Map.Entry<String, Member> entry : members.entrySet()) {
            Member member = entry.getValue();
            boolean changes = type == SubscriptionType.HOMOGENEOUS || random.nextInt(4) == 0;
            Set<Uuid> subscribed = changes ? subscription(type, all) : member.subscribed;
            entry.setValue(new Member(member.instance, subscribed, member.target));
        }
        for (int leaving = random.nextInt(3); leaving > 0 && members.size() > 1; leaving--) {
            members.remove(new ArrayList<>(members.keySet()).get(random.nextInt(members.size())));
        }
        for (int joining = random.nextInt(3); joining > 0; joining--) {
            join(type, type == SubscriptionType.HOMOGENEOUS ? members.firstEntry().getValue().subscribed : all);
        }
    }

    private void run(String name, PartitionAssignor assignor, SubscriptionType type) {
        TreeMap<String, MemberSubscriptionAndAssignmentImpl> specs = new TreeMap<>();
        Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
        members.forEach((id, member) -> {
            specs.put(id, new MemberSubscriptionAndAssignmentImpl(
                Optional.empty(), Optional.ofNullable(member.instance), member.subscribed, new Assignment(member.target)));
            member.target.forEach((topic, partitions) -> partitions.forEach(partition ->
                owners.computeIfAbsent(topic, none -> new HashMap<>()).put(partition, id)));
        });
        SubscribedTopicDescriber describer = new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid topic) {
                return topics.getOrDefault(topic, -1);
            }

            @Override
            public Set<String> racksForPartition(Uuid topic, int partition) {
                return Set.of();
            }
        };
        Map<String, MemberAssignment> result = assignor
            .assign(new GroupSpecImpl(Collections.unmodifiableMap(specs), type, owners), describer)
            .members();

        StringBuilder out = new StringBuilder();
        out.append("case ").append(name).append(' ').append(type.name().toLowerCase()).append('\n');
        topics.forEach((topic, partitions) ->
            out.append("topic ").append(name(topic)).append(' ').append(partitions).append('\n'));
        members.replaceAll((id, member) -> {
            MemberAssignment given = result.get(id);
            Map<Uuid, Set<Integer>> assigned = given == null ? Map.of() : sorted(given.partitions());
            out.append("member ").append(id).append(' ').append(member.instance == null ? "-" : member.instance);
            out.append(' ').append(list(member.subscribed.stream().map(AssignorCases::name).toList()));
            out.append(' ').append(text(member.target)).append(' ').append(text(assigned)).append('\n');
            return new Member(member.instance, member.subscribed, assigned);
        });
        System.out.println(out);
    }

    private static Map<Uuid, Set<Integer>> sorted(Map<Uuid, Set<Integer>> partitions) {
        TreeMap<Uuid, Set<Integer>> sorted = new TreeMap<>();
        partitions.forEach((topic, numbers) -> sorted.put(topic, new TreeSet<>(numbers)));
        sorted.values().removeIf(Set::isEmpty);
        return sorted;
    }

    private static String name(Uuid topic) {
        return String.format("%x:%x", topic.getMostSignificantBits(), topic.getLeastSignificantBits());
    }

    private static String list(List<String> words) {
        return words.isEmpty() ? "-" : String.join(",", words);
    }

    /** Runs of partitions: "0:2/0-11,0:3/4". */
    private static String text(Map<Uuid, Set<Integer>> partitions) {
        List<String> words = new ArrayList<>();
        partitions.forEach((topic, numbers) -> {
            for (int number : numbers) {
                if (!numbers.contains(number - 1)) {
                    int last = number;
                    while (numbers.contains(last + 1)) {
                        last++;
                    }
                    words.add(name(topic) + "/" + number + (last == number ? "" : "-" + last));
                }
            }
        });
        return list(words);
    }
}
