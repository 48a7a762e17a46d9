/* common/cores.h. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "common/cores.h"

#include <unistd.h>

#ifdef __linux__

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 4096 };

static int affinity(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
}

/* The numbers that the file `name` of a folder begins with, at most two; how many. */
static int numbers(const char *folder, const char *name, long long *to) {
    char path[PATH];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH) return 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    const int found = fscanf(file, "%lld %lld", to, to + 1);
    fclose(file);
    return found < 0 ? 0 : found;
}

/* Processors that one group may use, 0 for any number: microseconds of a period, "max" or -1 without a quota. */
static int group_cores(const char *folder) {
    long long quota[2] = {0, 0}; /* and period */
    const int version2 = numbers(folder, "cpu.max", quota) == 2;
    if (!version2 && (!numbers(folder, "cpu.cfs_quota_us", quota) || !numbers(folder, "cpu.cfs_period_us", quota + 1)))
        return 0;
    return quota[0] > 0 && quota[1] > 0 ? (int)((quota[0] + quota[1] - 1) / quota[1]) : 0;
}

static int least(int a, int b) { return a && (!b || a < b) ? a : b; }

/* The least of the group `path` below the folder `mount` and of all above it. Inside a container a path may be that of
 * the world outside: what does not exist has no quota. */
static int path_cores(const char *root, const char *mount, const char *path) {
    char folder[PATH];
    const int top = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s%s", root, *mount ? "/" : "", mount);
    if (top < 0 || top >= PATH || strlen(path) >= (size_t)(PATH - top)) return 0;
    strcpy(folder + top, path);
    int cores = 0;
    for (char *end = folder + strlen(folder); end && end >= folder + top; end = strrchr(folder, '/')) {
        *end = 0;
        cores = least(group_cores(folder), cores);
    }
    return cores;
}

/* Whether the list "cpu,cpuacct" names the controller. */
static int has_cpu(const char *controllers) {
    for (const char *at = controllers; (at = strstr(at, "cpu")); at += 3)
        if ((at == controllers || at[-1] == ',') && (!at[3] || at[3] == ',')) return 1;
    return 0;
}

int elq_quota_cores(const char *root) {
    char line[PATH];
    if (snprintf(line, sizeof line, "%s/proc/self/cgroup", root) >= PATH) return 0;
    FILE *file = fopen(line, "r");
    int cores = 0;
    while (file && fgets(line, sizeof line, file)) { /* number:controllers:path */
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0, controllers++;
        path[strcspn(path, "\n")] = 0;
        if (!*controllers) cores = least(path_cores(root, "", path), cores); /* version 2 */
        else if (has_cpu(controllers))
            cores = least(path_cores(root, controllers, path), least(path_cores(root, "cpu", path), cores));
    }
    if (file) fclose(file);
    return cores;
}

#else

static int affinity(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

int elq_quota_cores(const char *root) { return (void)root, 0; }

#endif

int elq_cores(void) {
    const int here = affinity(), quota = elq_quota_cores("");
    const int cores = quota && quota < here ? quota : here;
    return cores < 1 ? 1 : cores;
}
