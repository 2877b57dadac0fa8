/* SPDX-License-Identifier: MIT */
/*
 * What belongs to the process and not to a context, so that a handler's change
 * outlives the request: signal handlers, timers, children, and locks in shared
 * zones. W looks after each request, puts back what it can and logs it. While H
 * runs, signals for W wait. This must never let a signal in before its handler is
 * W's again, nor at all one that only H can have wanted.
 */

#include "ngx_http_lwc.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>


/*
 * As the system call has it. The C library's sigaction() turns it into another
 * form first, with a mask of 128 bytes, and takes as long for that as the kernel
 * for the call.
 */

typedef struct {
    uint64_t  handler;
    uint64_t  flags;
    uint64_t  restorer;
    uint64_t  mask;
} ngx_http_lwc_action_t;


static long ngx_http_lwc_process_action(int signo,
    const ngx_http_lwc_action_t *to, ngx_http_lwc_action_t *now);
static void ngx_http_lwc_process_signals(ngx_http_request_t *r);
static void ngx_http_lwc_process_timers(ngx_http_request_t *r);
static int ngx_http_lwc_process_next_timer(void);
static void ngx_http_lwc_process_posix_timers(ngx_http_request_t *r);
static void ngx_http_lwc_process_pending(void);
static void ngx_http_lwc_process_children(ngx_http_request_t *r);
static void ngx_http_lwc_process_mutexes(ngx_http_request_t *r);


/* those that nginx handles or ignores, those that H may get, and faults */

static const int  ngx_http_lwc_signals[] = {
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM,
    SIGIO, SIGCHLD, SIGPIPE, SIGSYS, SIGVTALRM, SIGPROF,
    SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT
};

#define NGX_HTTP_LWC_SIGNALS                                                  \
    (sizeof(ngx_http_lwc_signals) / sizeof(ngx_http_lwc_signals[0]))


static const int  ngx_http_lwc_timers[] = {
    ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
};

#define NGX_HTTP_LWC_TIMERS                                                   \
    (sizeof(ngx_http_lwc_timers) / sizeof(ngx_http_lwc_timers[0]))


static struct {
    ngx_http_lwc_action_t  actions[NGX_HTTP_LWC_SIGNALS];
    struct itimerval       timers[NGX_HTTP_LWC_TIMERS];
    sigset_t               blocked;        /* while H runs, in W */
    sigset_t               timed;          /* of these, let in again in H */
    sigset_t               saved;
    sigset_t               stale;          /* W has no use for these */
    int                    timer;          /* a POSIX timer's number, or -1 */
    ngx_uint_t             children;
} ngx_http_lwc_process;


void
ngx_http_lwc_process_init(void)
{
    int               signo;
    ngx_uint_t        i;
    struct sigaction  sa;

    for (i = 0; i < NGX_HTTP_LWC_SIGNALS; i++) {
        (void) ngx_http_lwc_process_action(ngx_http_lwc_signals[i], NULL,
                                           &ngx_http_lwc_process.actions[i]);
    }

    for (i = 0; i < NGX_HTTP_LWC_TIMERS; i++) {
        (void) getitimer(ngx_http_lwc_timers[i],
                         &ngx_http_lwc_process.timers[i]);
    }

    /* blocked faults would kill at once, without their handlers */

    sigfillset(&ngx_http_lwc_process.blocked);
    sigdelset(&ngx_http_lwc_process.blocked, SIGSEGV);
    sigdelset(&ngx_http_lwc_process.blocked, SIGBUS);
    sigdelset(&ngx_http_lwc_process.blocked, SIGILL);
    sigdelset(&ngx_http_lwc_process.blocked, SIGFPE);
    sigdelset(&ngx_http_lwc_process.blocked, SIGTRAP);
    sigdelset(&ngx_http_lwc_process.blocked, SIGSYS);
    sigdelset(&ngx_http_lwc_process.blocked, SIGABRT);

    /* what a handler may time itself with */

    sigemptyset(&ngx_http_lwc_process.timed);
    sigaddset(&ngx_http_lwc_process.timed, SIGALRM);
    sigaddset(&ngx_http_lwc_process.timed, SIGVTALRM);
    sigaddset(&ngx_http_lwc_process.timed, SIGPROF);

    /* and what ends it */

    if (ngx_http_lwc_stop_signal()) {
        sigaddset(&ngx_http_lwc_process.timed, ngx_http_lwc_stop_signal());
    }

    /* those of timers, where they would end the worker */

    sigemptyset(&ngx_http_lwc_process.stale);
    sigaddset(&ngx_http_lwc_process.stale, SIGVTALRM);
    sigaddset(&ngx_http_lwc_process.stale, SIGPROF);

    for (signo = SIGRTMIN; signo <= SIGRTMAX; signo++) {
        sigaddset(&ngx_http_lwc_process.stale, signo);
    }

    for (signo = 1; signo <= SIGRTMAX; signo++) {

        if (sigismember(&ngx_http_lwc_process.stale, signo) == 1
            && sigaction(signo, NULL, &sa) == 0
            && sa.sa_handler != SIG_DFL)
        {
            sigdelset(&ngx_http_lwc_process.stale, signo);
        }
    }
}


void
ngx_http_lwc_process_enter(void)
{
    (void) sigprocmask(SIG_SETMASK, &ngx_http_lwc_process.blocked,
                       &ngx_http_lwc_process.saved);

    ngx_http_lwc_process.timer = ngx_http_lwc_process_next_timer();
}


void
ngx_http_lwc_process_inside(void)
{
    (void) sigprocmask(SIG_UNBLOCK, &ngx_http_lwc_process.timed, NULL);
}


/* a child begins with the mask that W's would: signals for W do not meet it */

void
ngx_http_lwc_process_forked(void)
{
    (void) sigprocmask(SIG_SETMASK, &ngx_http_lwc_process.saved, NULL);
}


void
ngx_http_lwc_process_left(ngx_http_request_t *r)
{
    ngx_http_lwc_process_signals(r);
    ngx_http_lwc_process_timers(r);
    ngx_http_lwc_process_posix_timers(r);
    ngx_http_lwc_process_pending();
    ngx_http_lwc_process_children(r);
    ngx_http_lwc_process_mutexes(r);

    (void) sigprocmask(SIG_SETMASK, &ngx_http_lwc_process.saved, NULL);
}


static long
ngx_http_lwc_process_action(int signo, const ngx_http_lwc_action_t *to,
    ngx_http_lwc_action_t *now)
{
    return syscall(SYS_rt_sigaction, signo, to, now, sizeof(now->mask));
}


static void
ngx_http_lwc_process_signals(ngx_http_request_t *r)
{
    ngx_uint_t              i;
    ngx_http_lwc_action_t   now, *sa;

    for (i = 0; i < NGX_HTTP_LWC_SIGNALS; i++) {

        if (ngx_http_lwc_process_action(ngx_http_lwc_signals[i], NULL, &now)
            == -1)
        {
            continue;
        }

        sa = &ngx_http_lwc_process.actions[i];

        if (now.handler == sa->handler && now.flags == sa->flags
            && now.mask == sa->mask)
        {
            continue;
        }

        (void) ngx_http_lwc_process_action(ngx_http_lwc_signals[i], sa, NULL);

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "lwc_rollback: the handler of \"%V\" changed what signal "
                      "%d does; it was put back",
                      &r->uri, ngx_http_lwc_signals[i]);
    }
}


static void
ngx_http_lwc_process_timers(ngx_http_request_t *r)
{
    ngx_uint_t         i, runs;
    struct itimerval   now, *it;

    for (i = 0; i < NGX_HTTP_LWC_TIMERS; i++) {

        if (getitimer(ngx_http_lwc_timers[i], &now) == -1) {
            continue;
        }

        it = &ngx_http_lwc_process.timers[i];

        runs = (now.it_value.tv_sec || now.it_value.tv_usec);

        if (now.it_interval.tv_sec == it->it_interval.tv_sec
            && now.it_interval.tv_usec == it->it_interval.tv_usec
            && runs == (it->it_value.tv_sec || it->it_value.tv_usec))
        {
            continue;
        }

        (void) setitimer(ngx_http_lwc_timers[i], it, NULL);

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "lwc_rollback: the handler of \"%V\" left interval timer "
                      "%d changed; it was put back",
                      &r->uri, ngx_http_lwc_timers[i]);
    }
}


/* the kernel gives the numbers out in order: a gap is a timer that was made */

static int
ngx_http_lwc_process_next_timer(void)
{
    int              id;
    struct sigevent  sev;

    ngx_memzero(&sev, sizeof(struct sigevent));
    sev.sigev_notify = SIGEV_NONE;

    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &sev, &id) == -1) {
        return -1;
    }

    (void) syscall(SYS_timer_delete, id);

    return id;
}


static void
ngx_http_lwc_process_posix_timers(ngx_http_request_t *r)
{
    int         id, next;
    ngx_uint_t  left;

    next = ngx_http_lwc_process_next_timer();

    if (ngx_http_lwc_process.timer == -1 || next == -1) {
        return;
    }

    left = 0;

    for (id = ngx_http_lwc_process.timer + 1; id < next; id++) {
        left += (syscall(SYS_timer_delete, id) == 0);
    }

    if (left) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "lwc_rollback: the handler of \"%V\" left %ui POSIX "
                      "timers; they were deleted", &r->uri, left);
    }
}


/* when their timers are gone, and before the mask is W's again */

static void
ngx_http_lwc_process_pending(void)
{
    struct timespec  none;

    ngx_memzero(&none, sizeof(struct timespec));

    while (sigtimedwait(&ngx_http_lwc_process.stale, NULL, &none) > 0
           || ngx_errno == NGX_EINTR)
    {
        /* void */
    }
}


/* they are not W's to kill, but somebody should know */

static void
ngx_http_lwc_process_children(ngx_http_request_t *r)
{
    siginfo_t   si;
    ngx_uint_t  children;

    children = (waitid(P_ALL, 0, &si, WEXITED|WNOHANG|WNOWAIT) == 0);

    if (children && !ngx_http_lwc_process.children) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "lwc_rollback: the handler of \"%V\" left a child "
                      "process, which outlives the request", &r->uri);

        ngx_http_lwc_files_distrust();
    }

    ngx_http_lwc_process.children = children;
}


/*
 * W holds no zone's lock while a content handler runs, so one that is held by
 * this process was left by H. The accept mutex may be W's, and is not touched.
 */

static void
ngx_http_lwc_process_mutexes(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *zone;
    ngx_slab_pool_t  *sp;
    ngx_list_part_t  *part;

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;

    for ( /* void */ ; part; part = part->next) {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {
            sp = (ngx_slab_pool_t *) zone[i].shm.addr;

            if (ngx_shmtx_force_unlock(&sp->mutex, ngx_pid)) {
                ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                              "lwc_rollback: the handler of \"%V\" left shared "
                              "memory zone \"%V\" locked; it was unlocked",
                              &r->uri, &zone[i].shm.name);
            }
        }
    }
}
