package com.fluxmq.tests;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** CPU time of this JVM and of the broker's process. */
final class ProcessCpu {
    /** Unit of the times in /proc/pid/stat: USER_HZ, 100 on every Linux that has a JVM. */
    private static final double TICKS_PER_SECOND = 100;

    private ProcessCpu() {
    }

    /** CPU seconds that this JVM has used, user and system. */
    static double ownSeconds() {
        var bean = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return bean.getProcessCpuTime() / 1e9;
    }

    /**
     * CPU seconds that a process has used, user and system.
     *
     * @param pid the process; 0 gives NaN
     * @throws IllegalStateException when there is no such process
     */
    static double secondsOf(long pid) {
        if (pid == 0) {
            return Double.NaN;
        }
        try {
            String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
            // The name, in parentheses, may hold spaces: fields are counted from behind it.
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_SECOND;
        } catch (IOException e) {
            throw new IllegalStateException("-Dbroker.pid=" + pid + ": " + e.getMessage(), e);
        }
    }
}
