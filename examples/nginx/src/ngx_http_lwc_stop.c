/* SPDX-License-Identifier: MIT */
/*
 * Ends a handler that does not come back by itself, from inside a signal's handler
 * in H: takes down why in the arena, then raises a fault, which takes control to W
 * from wherever H stands and needs nothing that the handler could have broken. This
 * must never do that to W, nor to a child.
 */

#include "ngx_http_lwc.h"

#include <signal.h>
#include <sys/syscall.h>


static void ngx_http_lwc_stop_abort(int signo, siginfo_t *si, void *context);
static void ngx_http_lwc_stop_late(int signo, siginfo_t *si, void *context);
static void ngx_http_lwc_stop_handle(void);
static int ngx_http_lwc_stop_timer(int signo);
static void ngx_http_lwc_stop_set(int timer, ngx_msec_t after);


/* so much later a worker ends whose handler did not let itself be ended */

#define NGX_HTTP_LWC_STOP_GRACE  2000


static struct {
    int               signo;               /* of the deadline, or 0 */
    int               late;                /* the timers' numbers, or -1 */
    int               kill;
} ngx_http_lwc_stop = { 0, -1, -1 };


/* W, before anybody looks which signals are whose */

void
ngx_http_lwc_stop_init(void)
{
    int               signo;
    struct sigaction  sa;

    /* once: a single process that is reloaded has its timers already */

    for (signo = SIGRTMAX;
         signo > SIGRTMIN && ngx_http_lwc_stop.signo == 0;
         signo--)
    {

        if (sigaction(signo, NULL, &sa) == 0
            && !(sa.sa_flags & SA_SIGINFO)
            && sa.sa_handler == SIG_DFL)
        {
            ngx_http_lwc_stop.signo = signo;
            ngx_http_lwc_stop_handle();
        }
    }

    /* another module's handler has its reasons */

    if (sigaction(SIGABRT, NULL, &sa) == -1
        || (sa.sa_flags & SA_SIGINFO)
        || sa.sa_handler != SIG_DFL)
    {
        return;
    }

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_sigaction = ngx_http_lwc_stop_abort;
    sa.sa_flags = SA_SIGINFO;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(SIGABRT, &sa, NULL);
}


/*
 * abort() sends this signal by itself, as a failed assertion does, and malloc()
 * when it finds its lists damaged. Elsewhere, and when somebody else sends it, it
 * does what it does by default: it comes again, when this returns.
 */

static void
ngx_http_lwc_stop_abort(int signo, siginfo_t *si, void *context)
{
    struct sigaction  sa;

    if (si->si_code == SI_TKILL && si->si_pid == getpid()) {
        ngx_http_lwc_inside_stop(NGX_HTTP_LWC_ABORTED);
    }

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_handler = SIG_DFL;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(signo, &sa, NULL);
    (void) raise(signo);
}


/* of the deadline, to be let in while H runs; 0 when all are taken */

int
ngx_http_lwc_stop_signal(void)
{
    return ngx_http_lwc_stop.signo;
}


static void
ngx_http_lwc_stop_handle(void)
{
    struct sigaction  sa;

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_sigaction = ngx_http_lwc_stop_late;
    sa.sa_flags = SA_SIGINFO|SA_RESTART;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(ngx_http_lwc_stop.signo, &sa, NULL);
}


/* anybody may send it: only the timer counts */

static void
ngx_http_lwc_stop_late(int signo, siginfo_t *si, void *context)
{
    if (si->si_code == SI_TIMER && si->si_timerid == ngx_http_lwc_stop.late) {
        ngx_http_lwc_inside_stop(NGX_HTTP_LWC_LATE);
    }
}


/*
 * W, before the first request with a deadline: the timers are kept for all that
 * follow. The second one cannot be blocked, and ends the worker: it is for a handler
 * that blocks the signal of the first, or waits where no signal wakes it.
 */

ngx_int_t
ngx_http_lwc_stop_prepare(ngx_log_t *log)
{
    if (ngx_http_lwc_stop.signo && ngx_http_lwc_stop.late == -1) {
        ngx_http_lwc_stop.late =
                             ngx_http_lwc_stop_timer(ngx_http_lwc_stop.signo);
    }

    if (ngx_http_lwc_stop.kill == -1) {
        ngx_http_lwc_stop.kill = ngx_http_lwc_stop_timer(SIGKILL);
    }

    if (ngx_http_lwc_stop.late == -1 || ngx_http_lwc_stop.kill == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "lwc_rollback: no timer can be made for \"lwc_timeout\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* for this thread alone: one that a handler left must not fault in its place */

static int
ngx_http_lwc_stop_timer(int signo)
{
    int              id;
    struct sigevent  sev;

    ngx_memzero(&sev, sizeof(struct sigevent));
    sev.sigev_notify = SIGEV_THREAD_ID;
    sev.sigev_signo = signo;
    sev._sigev_un._tid = syscall(SYS_gettid);

    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &sev, &id) == -1) {
        return -1;
    }

    return id;
}


/* the last handler may have changed what the signal does */

void
ngx_http_lwc_stop_arm(ngx_msec_t timeout)
{
    ngx_http_lwc_stop_handle();

    ngx_http_lwc_stop_set(ngx_http_lwc_stop.late, timeout);
    ngx_http_lwc_stop_set(ngx_http_lwc_stop.kill,
                          timeout + NGX_HTTP_LWC_STOP_GRACE);
}


void
ngx_http_lwc_stop_disarm(void)
{
    ngx_http_lwc_stop_set(ngx_http_lwc_stop.kill, 0);
    ngx_http_lwc_stop_set(ngx_http_lwc_stop.late, 0);
}


static void
ngx_http_lwc_stop_set(int timer, ngx_msec_t after)
{
    struct itimerspec  it;

    ngx_memzero(&it, sizeof(struct itimerspec));
    it.it_value.tv_sec = after / 1000;
    it.it_value.tv_nsec = (after % 1000) * 1000000;

    (void) syscall(SYS_timer_settime, timer, 0, &it, NULL);
}
