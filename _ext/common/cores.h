/* How many processors this process may use. */
#ifndef ELQ_CORES_H
#define ELQ_CORES_H

/* The lesser of its affinity and its quota, at least 1. */
int elq_cores(void);

/* The quota of the control groups that a container or a service manager puts it into, of version 1 or 2, as processors,
 * rounded up: the least of its own group and of all above. 0 if there is none. `root` stands before /proc and /sys: "",
 * or of a test a tree of its own. */
int elq_quota_cores(const char *root);

#endif
