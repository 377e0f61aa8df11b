package com.fluxmq.tests;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.kafka.clients.admin.AdminClient;
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
 *   read    topic=NAME [readers=N]                     all that was produced, by so many consumers
 *   delete  topic=NAME
 * </pre>
 *
 * <p>An answer is {@code ok KEY=VALUE ...} or {@code failed MESSAGE}. It ends with its input.
 */
public final class LoadDriver {
    /** What was produced to a topic. */
    private record Produced(Settings settings, long runId, long[] byThread, Map<TopicPartition, Long> from,
                            Map<TopicPartition, Long> to) {
    }

    private final Map<String, Produced> produced = new HashMap<>();

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
        NewTopic topic = new NewTopic(given.getProperty("topic"), Integer.parseInt(given.getProperty("partitions")), (short) 1);
        try (AdminClient admin = admin(given.getProperty("bootstrap"))) {
            admin.createTopics(List.of(topic.configs(config))).all().get();
        }
        return "";
    }

    private String produce(Properties given) throws Exception {
        Settings settings = Settings.of(given, "load", 1, Map.of());
        String topic = given.getProperty("topic");
        long runId = ThreadLocalRandom.current().nextLong();
        double cpu = ProcessCpu.ownSeconds();
        if (Boolean.parseBoolean(given.getProperty("discarded"))) {
            ProducerLoad.Result sent = new ProducerLoad(settings, topic, runId).run(settings.messages());
            return figures(settings, sent, cpu);
        }
        try (EndOffsets offsets = new EndOffsets(settings, topic)) {
            Map<TopicPartition, Long> from = offsets.now();
            cpu = ProcessCpu.ownSeconds();
            ProducerLoad.Result sent = new ProducerLoad(settings, topic, runId).run(settings.messages());
            String figures = figures(settings, sent, cpu);
            Map<TopicPartition, Long> to = offsets.awaitAll(from, settings.messages());
            produced.put(topic, new Produced(settings, runId, sent.byThread(), from, to));
            return figures + " arrived=" + to.entrySet().stream().mapToLong(e -> e.getValue() - from.get(e.getKey())).sum();
        }
    }

    private static String figures(Settings settings, ProducerLoad.Result sent, double cpuBefore) {
        String figures = String.format(Locale.ROOT, "records=%d seconds=%.6f client_cpu_s=%.3f", settings.messages(),
                sent.seconds(), ProcessCpu.ownSeconds() - cpuBefore);
        if (sent.latencyUs() == null) {
            return figures;
        }
        return figures + String.format(Locale.ROOT, " p50_ms=%.3f p99_ms=%.3f p999_ms=%.3f p9999_ms=%.3f max_ms=%.3f",
                sent.quantileMs(50), sent.quantileMs(99), sent.quantileMs(99.9), sent.quantileMs(99.99), sent.quantileMs(100));
    }

    private String read(Properties given) throws InterruptedException {
        Produced run = produced.get(given.getProperty("topic"));
        ReadBack back = new ReadBack(run.settings(), run.runId(), run.byThread());
        double cpu = ProcessCpu.ownSeconds();
        long started = System.nanoTime();
        ReadBack.Account account = back.run(run.from(), run.to(), Integer.parseInt(given.getProperty("readers", "2")));
        return String.format(Locale.ROOT, "records=%d seconds=%.6f client_cpu_s=%.3f missing=%d duplicated=%d changed=%d "
                        + "out_of_order=%d", account.read(), (System.nanoTime() - started) / 1e9, ProcessCpu.ownSeconds() - cpu,
                account.missing(), account.duplicated(), account.changed(), account.outOfOrder());
    }

    private String delete(Properties given) throws Exception {
        String topic = given.getProperty("topic");
        Produced run = produced.remove(topic);
        try (AdminClient admin = admin(run.settings().bootstrap())) {
            admin.deleteTopics(List.of(topic)).all().get();
        }
        return "";
    }

    private static AdminClient admin(String bootstrap) {
        return AdminClient.create(Map.<String, Object>of("bootstrap.servers", bootstrap, "request.timeout.ms", 60_000,
                "default.api.timeout.ms", 60_000));
    }
}
