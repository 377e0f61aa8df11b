package com.fluxmq.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;

/**
 * The engine of the benchmarks: runs the load some times in one JVM, prints each run, and reads every record back.
 *
 * <p>A run creates its topic, starts one producer per thread, measures from the first send until the last producer is
 * closed, waits until what was sent can be read, reads it all, and deletes the topic. A record that is missing, changed,
 * read twice or out of order fails the benchmark with exit code 1.
 */
final class BenchmarkRun {
    private record Result(double perSecond, double mbPerSecond, double clientCpu, double produceCpu, double readCpu,
                          ReadBack.Account account) {
    }

    private final Settings settings;
    private final AdminClient admin;

    private BenchmarkRun(Settings settings, AdminClient admin) {
        this.settings = settings;
        this.admin = admin;
    }

    /** Runs a benchmark and ends the JVM: 0 when every record came back, 1 when one did not, 2 when it could not run. */
    static void main(String name, int threads, Map<String, String> producer) {
        int exit;
        try {
            Settings settings = Settings.fromCommandLine(name, threads, producer);
            try (AdminClient admin = AdminClient.create(Map.<String, Object>of("bootstrap.servers", settings.bootstrap(),
                    "request.timeout.ms", 20_000, "default.api.timeout.ms", 20_000))) {
                exit = new BenchmarkRun(settings, admin).all() ? 0 : 1;
            }
        } catch (Exception e) {
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            System.out.println(name + " failed: " + cause
                    + (cause instanceof TimeoutException ? " (is a broker serving at that address?)" : ""));
            exit = 2;
        }
        System.out.flush();
        System.exit(exit);
    }

    private boolean all() throws Exception {
        System.out.printf(Locale.ROOT, "%s: %,d messages of %d B, %d threads, %d partitions, %s, %s%n", settings.name(),
                settings.messages(), settings.messageBytes(), settings.threads(), settings.partitions(),
                settings.bootstrap(), new TreeMap<>(settings.producer()));
        boolean good = true;
        if (settings.warmupMessages() > 0) {
            good = isGood(run("warm-up", settings.warmupMessages()));
        }
        List<Result> results = new ArrayList<>();
        for (int i = 1; i <= settings.runs(); i++) {
            Result result = run("run " + i, settings.messages());
            good &= isGood(result);
            results.add(result);
        }
        double[] rates = results.stream().mapToDouble(Result::perSecond).sorted().toArray();
        System.out.printf(Locale.ROOT, "%s: median %,.0f msg/s, best %,.0f msg/s, worst %,.0f msg/s over %d runs; client CPU "
                        + "%.2f µs/msg%s%n", settings.name(), median(rates), rates[rates.length - 1], rates[0], rates.length,
                median(results.stream().mapToDouble(Result::clientCpu).sorted().toArray()) * 1e6 / settings.messages(),
                settings.brokerPid() == 0 ? "" : String.format(Locale.ROOT, ", broker CPU %.3f s median (produce), %.3f s (read)",
                        median(results.stream().mapToDouble(Result::produceCpu).sorted().toArray()),
                        median(results.stream().mapToDouble(Result::readCpu).sorted().toArray())));
        System.out.println(good ? "every record was read back" : "FAILED: not every record came back as it was sent");
        return good;
    }

    private boolean isGood(Result result) {
        ReadBack.Account account = result.account();
        return account.isWhole() || settings.lostAllowed() && account.isUnchanged();
    }

    private Result run(String label, long messages) throws Exception {
        long runId = ThreadLocalRandom.current().nextLong();
        String topic = "bench-" + settings.name().toLowerCase(Locale.ROOT) + "-" + Long.toHexString(runId);
        admin.createTopics(List.of(new NewTopic(topic, settings.partitions(), (short) 1))).all().get();
        try (EndOffsets offsets = new EndOffsets(settings, topic)) {
            Map<TopicPartition, Long> from = offsets.now();

            double brokerBefore = ProcessCpu.secondsOf(settings.brokerPid());
            double clientBefore = ProcessCpu.ownSeconds();
            ProducerLoad.Result sent = new ProducerLoad(settings, topic, runId).run(messages);
            double clientCpu = ProcessCpu.ownSeconds() - clientBefore;
            Map<TopicPartition, Long> to = offsets.awaitAll(from, messages);
            double brokerProduced = ProcessCpu.secondsOf(settings.brokerPid());

            long readStart = System.nanoTime();
            ReadBack.Account account = new ReadBack(settings, runId, sent.byThread()).run(from, to);
            double readSeconds = (System.nanoTime() - readStart) / 1e9;
            double brokerRead = ProcessCpu.secondsOf(settings.brokerPid());

            Result result = new Result(messages / sent.seconds(), messages * (double) settings.messageBytes() / 1e6 / sent.seconds(),
                    clientCpu, brokerProduced - brokerBefore, brokerRead - brokerProduced, account);
            System.out.printf(Locale.ROOT, "%-7s %,11.0f msg/s %8.1f MB/s %7.3f s  client CPU %.2f s%s  %s in %.2f s%n", label,
                    result.perSecond, result.mbPerSecond, sent.seconds(), clientCpu,
                    settings.brokerPid() == 0 ? "" : String.format(Locale.ROOT, "  broker CPU %.2f s + %.2f s reading",
                            result.produceCpu, result.readCpu),
                    account, readSeconds);
            if (sent.latencyUs() != null) {
                System.out.println("        acknowledged after " + sent.latencies());
            }
            if (settings.csv() != null) {
                appendCsv(label, messages, result);
            }
            return result;
        } finally {
            admin.deleteTopics(List.of(topic)).all().get();
        }
    }

    /** One line per run: label, messages, msg/s, client CPU s, broker CPU s producing and reading, and the account. */
    private void appendCsv(String label, long messages, Result result) throws IOException {
        ReadBack.Account account = result.account();
        String line = String.format(Locale.ROOT, "%s,%d,%.0f,%.3f,%.3f,%.3f,%d,%d,%d,%d,%d%n", label, messages,
                result.perSecond(), result.clientCpu(), result.produceCpu(), result.readCpu(), account.read(),
                account.missing(), account.duplicated(), account.changed(), account.outOfOrder());
        Files.writeString(settings.csv(), line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private static double median(double[] sorted) {
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
