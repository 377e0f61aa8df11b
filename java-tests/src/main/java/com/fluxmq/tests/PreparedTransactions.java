package com.fluxmq.tests;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Two-phase commit on a client that has no such thing, the way of sinks that take their transactions into checkpoints: what is written
 * and flushed is prepared, its producer id and epoch are remembered, and whoever goes on after a crash puts them into a producer of its
 * own, by reflection and without {@code initTransactions}, and commits.
 *
 * <p>It takes commands from its standard input, and answers each with one line:
 * <ul>
 *   <li>{@code prepare id topic from to}: begins a transaction with these numbers in partition 0; {@code prepared producerId epoch}
 *   <li>{@code commit id}: commits what this process has prepared under the id; {@code done}
 *   <li>{@code resume id producerId epoch commit|abort old|new|learns}: the same from what was remembered; {@code done}. Where a
 *       producer finds out that the cluster speaks version 2 of transactions this pattern does not go. So it ends the transaction in the
 *       old way, or in the new if it was told; or it learns of the new while it ends in the old, and asks for a higher epoch after it.
 *       Which of the first and the last happens is otherwise a matter of a few milliseconds. Clients before 4 know of none but the old.
 *   <li>{@code init id}: asks for the id, as someone who wants what lingers under it aborted; {@code done}
 * </ul>
 * or with {@code refused reason}.
 */
public final class PreparedTransactions {
    private final Map<String, KafkaProducer<byte[], byte[]>> prepared = new HashMap<>();
    private final String bootstrap;

    private PreparedTransactions(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    /** Argument: bootstrap address. */
    public static void main(String[] args) throws Exception {
        PreparedTransactions transactions = new PreparedTransactions(args[0]);
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                System.out.println(transactions.answer(line.split(" ")));
            }
        }
        // What is prepared and not committed stays so: closing its producer would abort it.
        Runtime.getRuntime().halt(0);
    }

    private String answer(String[] words) throws Exception {
        try {
            switch (words[0]) {
                case "prepare":
                    return prepare(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]));
                case "commit":
                    try (KafkaProducer<byte[], byte[]> producer = prepared.remove(words[1])) {
                        producer.commitTransaction();
                    }
                    return "done";
                case "resume":
                    try (KafkaProducer<byte[], byte[]> producer = producer(words[1])) {
                        resume(producer, Long.parseLong(words[2]), Short.parseShort(words[3]), words[5]);
                        if (words[4].equals("commit")) {
                            producer.commitTransaction();
                        } else {
                            producer.abortTransaction();
                        }
                    }
                    return "done";
                case "init":
                    try (KafkaProducer<byte[], byte[]> producer = producer(words[1])) {
                        producer.initTransactions();
                    }
                    return "done";
                default:
                    throw new IOException("unknown command " + words[0]);
            }
        } catch (KafkaException e) {
            // What the broker said is the cause where the client puts its own words before it.
            Throwable said = e.getClass() == KafkaException.class && e.getCause() != null ? e.getCause() : e;
            return "refused " + said.getClass().getSimpleName();
        }
    }

    private String prepare(String id, String topic, int from, int to) throws Exception {
        KafkaProducer<byte[], byte[]> producer = producer(id);
        prepared.put(id, producer);
        producer.initTransactions();
        producer.beginTransaction();
        List<Future<?>> sent = new ArrayList<>();
        for (int i = from; i < to; i++) {
            byte[] value = Integer.toString(i).getBytes(StandardCharsets.UTF_8);
            sent.add(producer.send(new ProducerRecord<>(topic, 0, null, value)));
        }
        producer.flush();
        for (Future<?> future : sent) {
            future.get();
        }
        Object now = field(manager(producer), "producerIdAndEpoch").get(manager(producer));
        return "prepared " + field(now, "producerId").get(now) + " " + field(now, "epoch").get(now);
    }

    /** The producer is in the transaction that another one has prepared. */
    private static void resume(KafkaProducer<?, ?> producer, long producerId, short epoch, String way) throws Exception {
        Object manager = manager(producer);
        Field identity = field(manager, "producerIdAndEpoch");
        Constructor<?> of = identity.getType().getDeclaredConstructor(long.class, short.class);
        of.setAccessible(true);
        synchronized (manager) {
            transition(manager, "INITIALIZING");
            identity.set(manager, of.newInstance(producerId, epoch));
            transition(manager, "READY");
            transition(manager, "IN_TRANSACTION");
            // Without it the client thinks that nothing was written, and asks the broker for nothing.
            field(manager, "transactionStarted").set(manager, true);
            if (way.equals("new")) {
                field(manager, "isTransactionV2Enabled").set(manager, true);
            }
            if (!way.equals("learns") && knowsTwoVersions(manager)) {
                // What it hears from now on is no news.
                field(manager, "latestFinalizedFeaturesEpoch").set(manager, Long.MAX_VALUE);
            }
        }
        if (way.equals("learns")) {
            awaitNews(field(manager, "apiVersions").get(manager));
        }
    }

    private static boolean knowsTwoVersions(Object manager) {
        return Arrays.stream(manager.getClass().getDeclaredFields()).anyMatch(field -> field.getName().equals("isTransactionV2Enabled"));
    }

    /** Returns when the broker has said what the cluster speaks. */
    private static void awaitNews(Object apiVersions) throws Exception {
        Method epoch = apiVersions.getClass().getMethod("getMaxFinalizedFeaturesEpoch");
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while ((long) epoch.invoke(apiVersions) < 0) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("no answer from the broker");
            }
            Thread.sleep(5);
        }
    }

    private static Object manager(KafkaProducer<?, ?> producer) throws Exception {
        return field(producer, "transactionManager").get(producer);
    }

    private static Field field(Object of, String name) throws Exception {
        Field field = of.getClass().getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    private static void transition(Object manager, String name) throws Exception {
        Class<?> states = field(manager, "currentState").getType();
        Method transition = manager.getClass().getDeclaredMethod("transitionTo", states);
        transition.setAccessible(true);
        for (Object state : states.getEnumConstants()) {
            if (state.toString().equals(name)) {
                transition.invoke(manager, state);
                return;
            }
        }
        throw new IllegalStateException("no state " + name);
    }

    private KafkaProducer<byte[], byte[]> producer(String id) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", id);
        settings.put("transaction.timeout.ms", "600000");
        settings.put("max.block.ms", "20000");
        settings.put("reconnect.backoff.max.ms", "200");
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }
}
