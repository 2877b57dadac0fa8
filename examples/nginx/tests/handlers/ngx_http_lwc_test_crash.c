/* SPDX-License-Identifier: MIT */
/*
 * "crash": handlers that crash, each in one way (how), at one moment (when). Each
 * says first how many have come that far before, which is none where requests are
 * forgotten. They must never crash in a way that the compiler could foresee.
 */

#include "ngx_http_lwc_test.h"

#include <sys/mman.h>


typedef void (*ngx_http_lwc_test_crash_pt)(void);


/* a page that a careless stack gets for each of its frames */

#define NGX_HTTP_LWC_TEST_FRAME  4096


static ngx_uint_t       ngx_http_lwc_test_crashed;
static volatile int     ngx_http_lwc_test_zero;
static char *volatile   ngx_http_lwc_test_nowhere = (char *) 64;


static void
ngx_http_lwc_test_crash_write(void)
{
    *ngx_http_lwc_test_nowhere = 1;
}


static void
ngx_http_lwc_test_crash_call(void)
{
    ((ngx_http_lwc_test_crash_pt) ngx_http_lwc_test_nowhere)();
}


static void
ngx_http_lwc_test_crash_divide(void)
{
    ngx_http_lwc_test_zero = ngx_http_lwc_test_zero / ngx_http_lwc_test_zero;
}


static void
ngx_http_lwc_test_crash_trap(void)
{
    __builtin_trap();
}


/* part of a mapping that its file does not have */

static void
ngx_http_lwc_test_crash_bus(void)
{
    int    fd;
    char  *p;

    fd = memfd_create("short", 0);
    p = mmap(NULL, ngx_pagesize, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED) {
        *(volatile char *) p = 1;
    }
}


static int
ngx_http_lwc_test_crash_deep(volatile char *above)
{
    volatile char  frame[NGX_HTTP_LWC_TEST_FRAME];

    frame[0] = above[0];

    if (frame[0]) {
        return 0;
    }

    return ngx_http_lwc_test_crash_deep(frame) + frame[0];
}


static void
ngx_http_lwc_test_crash_stack(void)
{
    volatile char  frame[1] = { 0 };

    ngx_http_lwc_test_zero = ngx_http_lwc_test_crash_deep(frame);
}


/* glibc finds out, says so, and calls abort() */

static void
ngx_http_lwc_test_crash_free(void)
{
    char *volatile  p;

    p = malloc(64);
    free(p);
    free(p);
}


/* as some libraries do, to say more of it; it must not be asked */

static void
ngx_http_lwc_test_crash_handler(int signo)
{
    _exit(7);
}


static void
ngx_http_lwc_test_crash_handled(void)
{
    sigset_t  set;

    (void) signal(SIGSEGV, ngx_http_lwc_test_crash_handler);

    sigfillset(&set);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    ngx_http_lwc_test_crash_write();
}


static void
ngx_http_lwc_test_crash_closed(void)
{
    (void) close_range(3, ~0U, 0);

    ngx_http_lwc_test_crash_write();
}


/* and those that never come back */

static void
ngx_http_lwc_test_crash_loop(void)
{
    while (ngx_http_lwc_test_nowhere) { /* void */ }
}


static void
ngx_http_lwc_test_crash_sleep(void)
{
    while (ngx_http_lwc_test_nowhere) {
        (void) sleep(1000);
    }
}


static void
ngx_http_lwc_test_crash_read(void)
{
    int   fd[2];
    char  byte;

    if (pipe(fd) == 0) {
        ngx_http_lwc_test_zero = read(fd[0], &byte, 1);
    }
}


static void
ngx_http_lwc_test_crash_ignored(void)
{
    int  signo;

    for (signo = SIGRTMIN; signo <= SIGRTMAX; signo++) {
        (void) signal(signo, SIG_IGN);
    }

    ngx_http_lwc_test_crash_loop();
}


static void
ngx_http_lwc_test_crash_blocked(void)
{
    sigset_t  set;

    sigfillset(&set);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    ngx_http_lwc_test_crash_sleep();
}


static struct {
    const char                  *how;
    ngx_http_lwc_test_crash_pt   crash;
} ngx_http_lwc_test_ways[] = {
    { "write", ngx_http_lwc_test_crash_write },
    { "call", ngx_http_lwc_test_crash_call },
    { "divide", ngx_http_lwc_test_crash_divide },
    { "trap", ngx_http_lwc_test_crash_trap },
    { "bus", ngx_http_lwc_test_crash_bus },
    { "stack", ngx_http_lwc_test_crash_stack },
    { "abort", abort },
    { "free", ngx_http_lwc_test_crash_free },
    { "handled", ngx_http_lwc_test_crash_handled },
    { "closed", ngx_http_lwc_test_crash_closed },
    { "loop", ngx_http_lwc_test_crash_loop },
    { "sleep", ngx_http_lwc_test_crash_sleep },
    { "read", ngx_http_lwc_test_crash_read },
    { "ignored", ngx_http_lwc_test_crash_ignored },
    { "blocked", ngx_http_lwc_test_crash_blocked },
    { NULL, NULL }
};


static ngx_uint_t
ngx_http_lwc_test_crash_is(ngx_http_request_t *r, const char *name,
    const char *value)
{
    size_t     len;
    ngx_str_t  text;

    len = ngx_strlen(value);
    text = ngx_http_lwc_test_arg_text(r, name);

    return text.len == len && ngx_strncmp(text.data, value, len) == 0;
}


static void
ngx_http_lwc_test_crash_now(ngx_http_request_t *r)
{
    ngx_uint_t  i;

    for (i = 0; ngx_http_lwc_test_ways[i].crash; i++) {

        if (ngx_http_lwc_test_crash_is(r, "how", ngx_http_lwc_test_ways[i].how))
        {
            ngx_http_lwc_test_ways[i].crash();
        }
    }
}


static ngx_int_t
ngx_http_lwc_test_crash(ngx_http_request_t *r)
{
    ngx_int_t         rc;
    ngx_slab_pool_t  *shpool;

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "%ui crashed before", ngx_http_lwc_test_crashed++);

    if (ngx_http_lwc_test_crash_is(r, "when", "locked")) {
        shpool = (ngx_slab_pool_t *) ngx_http_lwc_test_zone->shm.addr;
        ngx_shmtx_lock(&shpool->mutex);
    }

    if (!ngx_http_lwc_test_crash_is(r, "when", "late")) {
        ngx_http_lwc_test_crash_now(r);
    }

    rc = ngx_http_lwc_test_say(r, "part of an answer\n");

    ngx_http_lwc_test_crash_now(r);

    return rc;
}


static void
ngx_http_lwc_test_crash_body(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_lwc_test_crash(r));
}


static ngx_int_t
ngx_http_lwc_test_crash_post(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r, ngx_http_lwc_test_crash_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


ngx_http_lwc_test_t  ngx_http_lwc_test_crashes[] = {
    { ngx_string("crash"), ngx_http_lwc_test_crash },
    { ngx_string("crash_post"), ngx_http_lwc_test_crash_post },
    { ngx_null_string, NULL }
};
