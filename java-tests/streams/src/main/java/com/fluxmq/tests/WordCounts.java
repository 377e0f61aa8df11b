package com.fluxmq.tests;

import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KafkaStreams.State;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;

/**
 * Counts the words of {@code lines}, looks up each word's kind in the table {@code kinds}, and counts the words of a kind.
 *
 * <p>{@code counts} gets {@code count kind} under each word, {@code totals} a count under each kind. Nothing is cached, so
 * every word of the input gives one record to each, and a reader finds 1, 2, 3, ... under every key: what was counted
 * twice, or never, shows where it happened.
 *
 * <p>Each state that the application comes to, and what ends a thread of it, is a line on standard output. SIGTERM closes it;
 * an error in any thread ends the process with status 1.
 */
public final class WordCounts {
    private WordCounts() {
    }

    /** Arguments: bootstrap address, application id, state directory, further settings as key=value. */
    public static void main(String[] args) throws InterruptedException {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("application.id", args[1]);
        settings.put("state.dir", args[2]);
        settings.put("processing.guarantee", "exactly_once_v2");
        settings.put("statestore.cache.max.bytes", "0");
        settings.put("auto.offset.reset", "earliest");
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("default.value.serde", Serdes.StringSerde.class);
        for (String setting : List.of(args).subList(3, args.length)) {
            settings.put(setting.substring(0, setting.indexOf('=')), setting.substring(setting.indexOf('=') + 1));
        }
        KafkaStreams streams = new KafkaStreams(topology(), settings);
        CountDownLatch failed = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now + (now == State.RUNNING ? " " + tasks(streams) : ""));
            if (now == State.ERROR) {
                failed.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("failed " + error);
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() ->
                System.out.println(streams.close(Duration.ofSeconds(30)) ? "closed" : "not closed after 30 s")));
        streams.start();
        // Ends by SIGTERM, or else here.
        failed.await();
        System.exit(1);
    }

    private static String tasks(KafkaStreams streams) {
        return streams.metadataForLocalThreads().stream().flatMap(thread -> thread.activeTasks().stream())
                .map(task -> task.taskId().toString()).sorted().collect(Collectors.joining(" "));
    }

    private static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        KTable<String, String> kinds = builder.table("kinds");
        KStream<String, String> counts = builder.<String, String>stream("lines")
                .flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((none, word) -> word, Grouped.as("by-word"))
                .count(Materialized.as("counts"))
                .toStream()
                .join(kinds, (count, kind) -> count + " " + kind);
        counts.to("counts");
        counts.groupBy((word, counted) -> counted.substring(counted.indexOf(' ') + 1), Grouped.as("by-kind"))
                .count(Materialized.as("totals"))
                .toStream()
                .mapValues(String::valueOf)
                .to("totals");
        return builder.build();
    }
}
