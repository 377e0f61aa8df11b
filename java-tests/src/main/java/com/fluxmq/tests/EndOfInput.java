package com.fluxmq.tests;

import java.io.IOException;

/** How a test tells a program that it started to come to its end: it closes the program's standard input. */
final class EndOfInput {
    private EndOfInput() {
    }

    /** Runs {@code what}, in a thread of its own, when the input has ended. Nothing else is said on it. */
    static void then(Runnable what) {
        Thread watcher = new Thread(() -> {
            await();
            what.run();
        });
        watcher.setDaemon(true);
        watcher.start();
    }

    private static void await() {
        try {
            while (System.in.read() >= 0) {
                // Only the end is waited for.
            }
        } catch (IOException e) {
            // An input that breaks has ended too.
        }
    }
}
