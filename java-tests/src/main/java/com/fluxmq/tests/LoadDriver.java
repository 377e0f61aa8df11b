package com.fluxmq.tests;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.TopicPartition;

/**
 * Load on command: each line of standard input is a command, answered by one line of standard output.
 *
 * <p>One JVM loads all brokers that are compared, in turns, so that each of them meets the same compiled client.
 *
 * <pre>
 *   create  bootstrap=ADDRESS topic=NAME partitions=N [topic.KEY=VALUE ...]
 *   produce bootstrap=ADDRESS topic=NAME ...           what {@link Settings} lists; producer.KEY=VALUE; discarded=true where
 *                                                      the broker keeps nothing, so that nobody looks for the records
 *   read    topic=NAME [readers=N]                     all that was last produced, by so many consumers
 *   follow  bootstrap=ADDRESS topic=NAME groups=N ...  before {@code produce}, with the same words: starts so many groups that
 *                                                      read what it will send
 *   followed topic=NAME                                what they have read, once they have read all
 *   catch-up bootstrap=ADDRESS topic=NAME ...          one consumer reads all that was last produced, and as long as it does
 *                                                      more is produced, as {@code produce} says
 *   delete  bootstrap=ADDRESS topic=NAME
 * </pre>
 *
 * <p>An answer is {@code ok KEY=VALUE ...} or {@code failed MESSAGE}. It ends with its input.
 */
public final class LoadDriver {
    /** Who follows what is going to be produced to a topic. */
    private record Followed(Settings settings, ProducerLoad load, long runId, Followers followers) {
    }

    /** What was produced to a topic. */
    private record Produced(Settings settings, long runId, long[] byThread, Map<TopicPartition, Long> from,
                            Map<TopicPartition, Long> to) {
    }

    /** A broker takes no larger change of its metadata at once than 10,000 records. */
    private static final int MOST_NEW_PARTITIONS = 4_000;

    private final Map<String, Produced> produced = new HashMap<>();
    private final Map<String, Followed> followed = new HashMap<>();

    private LoadDriver() {
    }

    /** Takes no arguments. */
    public static void main(String[] args) throws IOException {
        LoadDriver driver = new LoadDriver();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            System.out.println(driver.answer(line));
            System.out.flush();
        }
        System.exit(0);
    }

    private String answer(String line) {
        String[] words = line.trim().split(" +");
        Properties given = new Properties();
        for (int i = 1; i < words.length; i++) {
            int equals = words[i].indexOf('=');
            given.setProperty(words[i].substring(0, equals), words[i].substring(equals + 1));
        }
        try {
            return "ok " + switch (words[0]) {
                case "create" -> create(given);
                case "produce" -> produce(given);
                case "read" -> read(given);
                case "follow" -> follow(given);
                case "followed" -> followed(given);
                case "catch-up" -> catchUp(given);
                case "delete" -> delete(given);
                default -> throw new IllegalArgumentException("no command " + words[0]);
            };
        } catch (Exception e) {
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            return "failed " + cause.toString().replace('\n', ' ');
        }
    }

    private static String create(Properties given) throws Exception {
        Map<String, String> config = new HashMap<>();
        for (String key : given.stringPropertyNames()) {
            if (key.startsWith("topic.")) {
                config.put(key.substring("topic.".length()), given.getProperty(key));
            }
        }
        String name = given.getProperty("topic");
        int partitions = Integer.parseInt(given.getProperty("partitions"));
        int made = Math.min(partitions, MOST_NEW_PARTITIONS);
        try (AdminClient admin = admin(given.getProperty("bootstrap"))) {
            admin.createTopics(List.of(new NewTopic(name, made, (short) 1).configs(config))).all().get();
            while (made < partitions) {
                made = Math.min(partitions, made + MOST_NEW_PARTITIONS);
                admin.createPartitions(Map.of(name, NewPartitions.increaseTo(made))).all().get();
            }
        }
        // An answer comes before the last of many partitions is there, and what is still to be made would count as load.
        try (EndOffsets all = new EndOffsets(Settings.of(given, "load", 1, Map.of()), name)) {
            all.now();
        }
        return "";
    }

    private String produce(Properties given) throws Exception {
        Settings settings = Settings.of(given, "load", 1, Map.of());
        String topic = given.getProperty("topic");
        Followed by = followed.get(topic);
        long runId = by != null ? by.runId() : ThreadLocalRandom.current().nextLong();
        ProducerLoad load = by != null ? by.load() : new ProducerLoad(settings, topic, runId);
        double cpu = ProcessCpu.ownSeconds();
        if (Boolean.parseBoolean(given.getProperty("discarded"))) {
            ProducerLoad.Result sent = load.run(settings.messages());
            return figures(settings, sent, cpu);
        }
        try (EndOffsets offsets = new EndOffsets(settings, topic)) {
            Map<TopicPartition, Long> from = offsets.now();
            cpu = ProcessCpu.ownSeconds();
            ProducerLoad.Result sent = load.run(settings.messages());
            return figures(settings, sent, cpu) + arrived(offsets, topic, settings, runId, sent, from);
        }
    }

    /** Waits for all that was sent, and writes it down. */
    private String arrived(EndOffsets offsets, String topic, Settings settings, long runId, ProducerLoad.Result sent,
                           Map<TopicPartition, Long> from) throws InterruptedException {
        Map<TopicPartition, Long> to = offsets.awaitAll(from, sent.records());
        produced.put(topic, new Produced(settings, runId, sent.byThread(), from, to));
        return " arrived=" + to.entrySet().stream().mapToLong(e -> e.getValue() - from.get(e.getKey())).sum();
    }

    private String follow(Properties given) throws InterruptedException {
        Settings settings = Settings.of(given, "load", 1, Map.of());
        String topic = given.getProperty("topic");
        long runId = ThreadLocalRandom.current().nextLong();
        ProducerLoad load = new ProducerLoad(settings, topic, runId);
        Followers followers = new Followers(settings, topic, load, runId, Integer.parseInt(given.getProperty("groups")));
        followed.put(topic, new Followed(settings, load, runId, followers));
        followers.awaitReady();
        return "";
    }

    private String followed(Properties given) throws Exception {
        String topic = given.getProperty("topic");
        Followed by = followed.remove(topic);
        // Asked anew: also what somebody else has written since belongs into the account.
        try (Followers followers = by.followers(); EndOffsets offsets = new EndOffsets(by.settings(), topic);
                AdminClient admin = admin(by.settings().bootstrap())) {
            Followers.Result found = followers.finish(offsets.now());
            followers.delete(admin);
            StringBuilder figures = new StringBuilder("groups=" + found.groups().size());
            figures.append(" fewest=").append(found.groups().stream().mapToLong(ReadBack.Account::read).min().orElse(0));
            figures.append(" records=").append(found.groups().stream().mapToLong(ReadBack.Account::read).sum());
            figures.append(" missing=").append(found.groups().stream().mapToLong(ReadBack.Account::missing).sum());
            figures.append(" duplicated=").append(found.groups().stream().mapToLong(ReadBack.Account::duplicated).sum());
            figures.append(" changed=").append(found.groups().stream().mapToLong(ReadBack.Account::changed).sum());
            figures.append(" out_of_order=").append(found.groups().stream().mapToLong(ReadBack.Account::outOfOrder).sum());
            return figures + quantiles(found.latencyUs());
        }
    }

    private String catchUp(Properties given) throws Exception {
        Settings settings = Settings.of(given, "load", 1, Map.of());
        String topic = given.getProperty("topic");
        Produced before = produced.get(topic);
        long runId = ThreadLocalRandom.current().nextLong();
        ProducerLoad load = new ProducerLoad(settings, topic, runId);
        AtomicBoolean isRead = new AtomicBoolean();
        ExecutorService reader = Executors.newSingleThreadExecutor();
        try (EndOffsets offsets = new EndOffsets(settings, topic)) {
            Map<TopicPartition, Long> from = offsets.now();
            double cpu = ProcessCpu.ownSeconds();
            Future<String> reading = reader.submit(() -> {
                try {
                    load.awaitStart();
                    return readBack(before, 1, "read_");
                } finally {
                    isRead.set(true);
                }
            });
            ProducerLoad.Result sent = load.run(settings.messages(), isRead::get);
            String read = reading.get();
            return figures(settings, sent, cpu) + arrived(offsets, topic, settings, runId, sent, from) + " " + read;
        } finally {
            reader.shutdownNow();
        }
    }

    private static String figures(Settings settings, ProducerLoad.Result sent, double cpuBefore) {
        String figures = String.format(Locale.ROOT, "records=%d seconds=%.6f client_cpu_s=%.3f", sent.records(),
                sent.seconds(), ProcessCpu.ownSeconds() - cpuBefore);
        return sent.latencyUs() == null ? figures : figures + quantiles(sent.latencyUs());
    }

    private static String quantiles(Histogram latencyUs) {
        double[] percents = {50, 99, 99.9, 99.99, 100};
        return String.format(Locale.ROOT, " p50_ms=%.3f p99_ms=%.3f p999_ms=%.3f p9999_ms=%.3f max_ms=%.3f",
                Arrays.stream(percents).mapToObj(percent -> ProducerLoad.quantileMs(latencyUs, percent)).toArray());
    }

    private String read(Properties given) throws InterruptedException {
        return readBack(produced.get(given.getProperty("topic")), Integer.parseInt(given.getProperty("readers", "2")), "");
    }

    /** The figures have names that begin with {@code prefix}. */
    private static String readBack(Produced run, int readers, String prefix) throws InterruptedException {
        ReadBack back = new ReadBack(run.settings(), run.runId(), run.byThread());
        double cpu = ProcessCpu.ownSeconds();
        long started = System.nanoTime();
        ReadBack.Account account = back.run(run.from(), run.to(), readers);
        String figures = "%1$srecords=%2$d %1$sseconds=%3$.6f %1$sclient_cpu_s=%4$.3f %1$smissing=%5$d %1$sduplicated=%6$d "
                + "%1$schanged=%7$d %1$sout_of_order=%8$d";
        return String.format(Locale.ROOT, figures, prefix, account.read(), (System.nanoTime() - started) / 1e9,
                ProcessCpu.ownSeconds() - cpu, account.missing(), account.duplicated(), account.changed(), account.outOfOrder());
    }

    private String delete(Properties given) throws Exception {
        String topic = given.getProperty("topic");
        Followed by = followed.remove(topic);
        if (by != null) {
            by.followers().close();
        }
        produced.remove(topic);
        try (AdminClient admin = admin(given.getProperty("bootstrap"))) {
            admin.deleteTopics(List.of(topic)).all().get();
        }
        return "";
    }

    private static AdminClient admin(String bootstrap) {
        return AdminClient.create(Map.<String, Object>of("bootstrap.servers", bootstrap, "request.timeout.ms", 60_000,
                "default.api.timeout.ms", 60_000));
    }
}
