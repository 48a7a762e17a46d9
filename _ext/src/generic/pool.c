/* pool.h: threads that sleep on a condition between calls and draw indices from one atomic counter inside a call. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "pool.h"

#include <stdlib.h>

static int read_num_threads(int cores) {
    const char *word = getenv("ELQ_NUM_THREADS");
    if (!word || !*word) return cores < 1 ? 1 : cores > 16 ? 16 : cores;
    char *end;
    long n = strtol(word, &end, 10);
    return *end || n < 1 || n > ELQ_MAX_THREADS ? -1 : (int)n;
}

static void serial_for(ptrdiff_t count, elq_task task, void *context) {
    for (ptrdiff_t i = 0; i < count; i++) task(context, i, 0);
}

#ifdef _WIN32

int elq_num_threads(void) { return read_num_threads(1) < 0 ? -1 : 1; }

void elq_parallel_for(ptrdiff_t count, elq_task task, void *context) { serial_for(count, task, context); }

#else

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

enum { SPIN = 2000 }; /* looks before the caller sleeps, well under a millisecond: pieces of one call end close together */

static struct {
    pthread_mutex_t entry; /* held by the one caller inside */
    pthread_mutex_t lock;  /* guards what follows */
    pthread_cond_t start, done;
    int threads;       /* 0: not read yet */
    int started;       /* threads running besides the caller */
    unsigned call;     /* number of this call: a worker joins each at most once */
    int open;          /* whether a worker may still join this call */
    atomic_int active; /* workers inside this call; changed under the lock, watched without */
    elq_task task;
    void *context;
    ptrdiff_t count;
    atomic_ptrdiff_t next;
} pool = {.entry = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .start = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static _Thread_local int inside; /* this thread is running a piece: a nested call is serial */

static int cores(void) {
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static void before_fork(void) {
    pthread_mutex_lock(&pool.entry);
    pthread_mutex_lock(&pool.lock);
}

static void after_fork_parent(void) {
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.entry);
}

static void after_fork_child(void) { /* only the forking thread exists here */
    pthread_mutex_init(&pool.entry, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.start, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.started = 0;
    pool.active = 0;
}

static void setup(void) {
    pool.threads = read_num_threads(cores());
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int elq_num_threads(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, setup);
    return pool.threads;
}

static void draw(int worker) {
    inside = 1;
    for (ptrdiff_t i; (i = atomic_fetch_add(&pool.next, 1)) < pool.count;) pool.task(pool.context, i, worker);
    inside = 0;
}

static void *work(void *argument) {
    int worker = (int)(ptrdiff_t)argument;
    unsigned seen = 0;
    pthread_mutex_lock(&pool.lock);
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
    while (pool.started < pool.threads - 1) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, work, (void *)(ptrdiff_t)(pool.started + 1))) break; /* fewer, then */
        pool.started++;
    }
    pthread_attr_destroy(&attributes);
}

void elq_parallel_for(ptrdiff_t count, elq_task task, void *context) {
    if (elq_num_threads() < 2 || count < 2 || inside || pthread_mutex_trylock(&pool.entry)) {
        serial_for(count, task, context);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    if (!pool.started) start_threads();
    pool.task = task;
    pool.context = context;
    pool.count = count;
    pool.next = 0;
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

#endif
