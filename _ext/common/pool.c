/* common/pool.h: threads that sleep on a condition between calls and draw pieces from one atomic counter inside a
 * call. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "common/pool.h"

#include "common/cores.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Processes of one MPI program on this machine, as mpirun of Open MPI or MPICH says; 1 of any other program. */
static int processes_here(void) {
    const char *word = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    if (!word) word = getenv("MPI_LOCALNRANKS");
    const int n = word ? atoi(word) : 1;
    return n < 1 ? 1 : n;
}

static int read_num_threads(void) {
    const char *word = getenv("ELQ_NUM_THREADS");
    if (!word || !*word) {
        const int cores = elq_cores() / processes_here();
        return cores > 16 ? 16 : cores < 1 ? 1 : cores;
    }
    char *end;
    long n = strtol(word, &end, 10);
    return *end || n < 1 || n > ELQ_MAX_THREADS ? -1 : (int)n;
}

int64_t elq_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void serial_loops(ptrdiff_t loops, const ptrdiff_t *counts, elq_loop_task task, void *context, int64_t *ends) {
    for (ptrdiff_t loop = 0; loop < loops; loop++) {
        for (ptrdiff_t i = 0; i < counts[loop]; i++) task(context, loop, i, 0);
        if (ends) ends[loop] = elq_nanoseconds();
    }
}

/* Of a thread between elq_watch and elq_unwatch. */
static _Thread_local struct {
    int (*ask)(void);
    int64_t asked; /* when */
    int stopped;
} watch;

enum { POLL = 100 * 1000 * 1000 }; /* nanoseconds between two questions */

void elq_watch(int (*ask)(void)) {
    watch.ask = ask;
    watch.asked = elq_nanoseconds();
    watch.stopped = 0;
}

int elq_unwatch(void) {
    watch.ask = NULL;
    return watch.stopped;
}

/* The case of one loop. */
struct single {
    elq_task task;
    void *context;
    atomic_int stopped; /* the thread that watches gave it up */
};

static _Thread_local struct single *current; /* of which this thread runs a piece */

int elq_given_up(void) {
    if (!current) return 0;
    if (watch.ask) {
        const int64_t now = elq_nanoseconds();
        if (!watch.stopped && now - watch.asked > POLL) {
            watch.asked = now;
            watch.stopped = watch.ask() != 0;
        }
        if (watch.stopped) atomic_store_explicit(&current->stopped, 1, memory_order_relaxed);
    }
    return atomic_load_explicit(&current->stopped, memory_order_relaxed);
}

static void single_task(void *context, ptrdiff_t loop, ptrdiff_t index, int worker) {
    struct single *one = context, *outer = current;
    (void)loop;
    current = one;
    if (!elq_given_up()) one->task(one->context, index, worker);
    current = outer;
}

void elq_parallel_for(ptrdiff_t count, elq_task task, void *context) {
    struct single one = {task, context, 0};
    if (count > 0) elq_parallel_loops(1, &count, single_task, &one, NULL);
}

enum {
    SPIN = 2000,   /* looks before the caller sleeps, well under a millisecond: pieces of a call end close together */
    PAUSES = 200,  /* between loops: looks with the core to ourselves */
    YIELDS = 2000, /* then looks that let others run; then sleeps of NAP */
    NAP = 50000    /* ns */
};
enum { INDEX_BITS = 48 };
static const uint64_t INDEX_MASK = ((uint64_t)1 << INDEX_BITS) - 1;

static struct {
    pthread_mutex_t entry; /* held by the one caller inside */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t start, done;
    int threads;       /* 0: not read yet */
    int started;       /* threads running besides the caller */
    unsigned call;     /* number of this call: a worker joins each at most once */
    int open;          /* whether a worker may still join this call */
    atomic_int active; /* workers inside this call; changed under the lock, watched without */
    elq_loop_task task;
    void *context;
    ptrdiff_t loops;
    const ptrdiff_t *counts;
    int64_t *ends;
    _Atomic uint64_t ticket; /* the running loop << INDEX_BITS | the piece of it that is next: one word, so that whoever
                                draws knows of which loop the piece is; loop == loops: all is done */
    atomic_ptrdiff_t left;   /* pieces of the running loop that are not done */
    int cpu;                 /* the caller's processor, which the workers keep off; -1: unknown */
    pid_t id[ELQ_MAX_THREADS]; /* of the workers, as the operating system counts them; 0: not running yet */
} pool = {.entry = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .start = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static _Thread_local int inside; /* this thread is running a piece: a nested call is serial */

#ifdef __linux__
static pid_t thread_id(void) { return (pid_t)syscall(SYS_gettid); }

/* Keep the workers off the caller's processor. After a rest of some milliseconds Linux likes to wake a thread beside the
 * one that wakes it, and takes as long to part them: a short call would run on one processor alone. Under the lock. */
static void make_way(void) {
    const int here = sched_getcpu();
    cpu_set_t others;
    if (here < 0 || here == pool.cpu || sched_getaffinity(0, sizeof others, &others)) return;
    CPU_CLR(here, &others);
    if (!CPU_COUNT(&others)) return;
    pool.cpu = here;
    for (int k = 1; k <= pool.started; k++)
        if (!pool.id[k] || sched_setaffinity(pool.id[k], sizeof others, &others)) pool.cpu = -1; /* try again */
}
#else
static pid_t thread_id(void) { return 0; }

static void make_way(void) {}
#endif

/* Not the entry: who forks holds Python's lock, and who is inside may ask for it (elq_watch). */
static void before_fork(void) { pthread_mutex_lock(&pool.lock); }

static void after_fork_parent(void) { pthread_mutex_unlock(&pool.lock); }

static void after_fork_child(void) { /* only the forking thread exists here */
    pthread_mutex_init(&pool.entry, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.start, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.started = 0;
    pool.active = 0;
    pool.open = 0; /* a thread that is not here was inside */
}

static void setup(void) {
    pool.threads = read_num_threads();
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int elq_num_threads(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);
    return pool.threads;
}

/* Tells the processor that this is a loop that waits. */
#if defined(__x86_64__) || defined(__i386__)
static void relax(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
static void relax(void) { __asm__ volatile("yield"); }
#else
static void relax(void) {}
#endif

/* One look of a thread that found nothing to do `idle` times. */
static void wait_a_little(int idle) {
    if (idle < PAUSES) relax();
    else if (idle < PAUSES + YIELDS) sched_yield();
    else nanosleep(&(struct timespec){0, NAP}, NULL);
}

/* Draw and run pieces until those of the last loop are all taken. Whoever finishes a loop opens the next. */
static void draw(int worker) {
    inside = 1;
    for (int idle = 0;;) {
        uint64_t ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        ptrdiff_t loop = (ptrdiff_t)(ticket >> INDEX_BITS);
        if (loop >= pool.loops) break;
        if ((ptrdiff_t)(ticket & INDEX_MASK) >= pool.counts[loop]) {
            if (loop == pool.loops - 1) break;
            wait_a_little(idle++);
            continue;
        }
        ticket = atomic_fetch_add_explicit(&pool.ticket, 1, memory_order_acq_rel);
        loop = (ptrdiff_t)(ticket >> INDEX_BITS);
        const ptrdiff_t index = (ptrdiff_t)(ticket & INDEX_MASK);
        if (loop >= pool.loops) break;
        if (index >= pool.counts[loop]) continue;
        idle = 0;
        pool.task(pool.context, loop, index, worker);
        if (atomic_fetch_sub_explicit(&pool.left, 1, memory_order_acq_rel) > 1) continue;
        if (pool.ends) pool.ends[loop] = elq_nanoseconds();
        if (loop + 1 < pool.loops) atomic_store_explicit(&pool.left, pool.counts[loop + 1], memory_order_relaxed);
        atomic_store_explicit(&pool.ticket, (uint64_t)(loop + 1) << INDEX_BITS, memory_order_release);
    }
    inside = 0;
}

static void *work(void *argument) {
    int worker = (int)(ptrdiff_t)argument;
    unsigned seen = 0;
    pthread_mutex_lock(&pool.lock);
    pool.id[worker] = thread_id();
    for (;;) {
        while (!pool.open || pool.call == seen) pthread_cond_wait(&pool.start, &pool.lock);
        seen = pool.call;
        pool.active++;
        pthread_mutex_unlock(&pool.lock);
        draw(worker);
        pthread_mutex_lock(&pool.lock);
        if (--pool.active == 0) pthread_cond_signal(&pool.done);
    }
    return NULL;
}

static void start_threads(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pool.call = 0;
    pool.cpu = -1;
    memset(pool.id, 0, sizeof pool.id);
    while (pool.started < pool.threads - 1) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, work, (void *)(ptrdiff_t)(pool.started + 1))) break; /* fewer, then */
        pool.started++;
    }
    pthread_attr_destroy(&attributes);
}

void elq_parallel_loops(ptrdiff_t loops, const ptrdiff_t *counts, elq_loop_task task, void *context, int64_t *ends) {
    ptrdiff_t most = 0;
    assert(loops <= ELQ_MAX_LOOPS);
    for (ptrdiff_t loop = 0; loop < loops; loop++) {
        assert(counts[loop] >= 1 && (uint64_t)counts[loop] < INDEX_MASK / 2); /* `draw` takes numbers beyond it, too */
        most = counts[loop] > most ? counts[loop] : most;
    }
    if (elq_num_threads() < 2 || most < 2 || inside || pthread_mutex_trylock(&pool.entry)) {
        serial_loops(loops, counts, task, context, ends);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    if (!pool.started) start_threads();
    pool.task = task;
    pool.context = context;
    pool.loops = loops;
    pool.counts = counts;
    pool.ends = ends;
    pool.left = counts[0];
    pool.ticket = 0;
    make_way();
    pool.open = 1;
    pool.call++;
    pthread_cond_broadcast(&pool.start);
    pthread_mutex_unlock(&pool.lock);

    draw(0);

    /* A worker that has not woken up yet is not waited for: all pieces are taken. */
    pthread_mutex_lock(&pool.lock);
    pool.open = 0;
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < SPIN && pool.active; i++) sched_yield();
    pthread_mutex_lock(&pool.lock);
    while (pool.active) pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.entry);
}

const elq_pool elq_the_pool = {
    .num_threads = elq_num_threads,
    .parallel_for = elq_parallel_for,
    .parallel_loops = elq_parallel_loops,
    .nanoseconds = elq_nanoseconds,
    .watch = elq_watch,
    .unwatch = elq_unwatch,
    .given_up = elq_given_up,
};
