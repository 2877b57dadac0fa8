/* SPDX-License-Identifier: MIT */
/*
 * Ends a handler that does not come back by itself, from inside a signal's handler
 * in H: takes down why in the arena, then raises a fault, which takes control to W
 * from wherever H stands and needs nothing that the handler could have broken. This
 * must never do that to W, nor to a child.
 */

#include "ngx_http_lwc.h"

#include <signal.h>


static void ngx_http_lwc_stop_abort(int signo, siginfo_t *si, void *context);


/* W, before anybody looks which signals are whose */

void
ngx_http_lwc_stop_init(void)
{
    struct sigaction  sa;

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
