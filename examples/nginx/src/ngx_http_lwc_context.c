/* SPDX-License-Identifier: MIT */
/*
 * W's side of the request context: makes it when the worker starts, renews it
 * before each request, switches to it and brings back what it wrote. It must
 * never run a handler in W, whatever fails; and what it brings back must be a
 * copy that nothing left behind in H can change any more.
 */

#include "ngx_http_lwc.h"

#include <dlfcn.h>
#include <lwc.h>


static ngx_int_t ngx_http_lwc_make(ngx_log_t *log);
static ngx_int_t ngx_http_lwc_replace(ngx_log_t *log);
static ngx_int_t ngx_http_lwc_map(ngx_log_t *log);
static ngx_int_t ngx_http_lwc_refresh(ngx_cycle_t *cycle);
static void ngx_http_lwc_settle(ngx_event_t *ev);
static ngx_int_t ngx_http_lwc_crashed(ngx_http_request_t *r,
    const struct lwc_event *ev);
static int ngx_http_lwc_renew(ngx_http_request_t *r,
    ngx_http_handler_pt handler);
static void ngx_http_lwc_wipe(size_t len);
static ngx_int_t ngx_http_lwc_fetch(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply);
static const char *ngx_http_lwc_why(int rc);


/* on top of "lwc_arena": headers, and what says how long each part is */

#define NGX_HTTP_LWC_HEADERS  65536

/* from here on giving pages back is cheaper than to fill them with zeros */

#define NGX_HTTP_LWC_WIPE     (128 * 1024)


static struct {
    int          fd;                       /* H's descriptor, or -1 */
    u_char      *arena;
    size_t       size;                     /* of the mapping */
    size_t       limit;                    /* as configured */
    ngx_event_t  settle;
} ngx_http_lwc = { -1, NULL, 0, 0, { 0 } };


static const char  *ngx_http_lwc_left[] = {
    "nothing",
    "NGX_AGAIN: it waits for something",
    "an upstream connection",
    "a subrequest",
    "a timer",
    "an event",
    "a posted event",
    "a task for another thread",
    "buffered output",
    "a reference to the request: it was to go on later"
};


ngx_int_t
ngx_http_lwc_available(ngx_log_t *log)
{
    int                  rc;
    struct lwc_features  f;

    rc = lwc_features(&f);

    if (rc < 0) {
        ngx_log_error(NGX_LOG_EMERG, log, -rc,
                      "\"lwc_rollback on\" cannot be kept: %s",
                      ngx_http_lwc_why(rc));
        return NGX_ERROR;
    }

    if (!(f.spec_types & (1 << LWC_FILES))
        || !(f.spec_modes & (1 << LWC_COW))
        || !(f.spec_modes & (1 << LWC_UNMAP)))
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "\"lwc_rollback on\" cannot be kept: this version of the "
                      "lwc kernel module cannot leave descriptors out of a "
                      "context");
        return NGX_ERROR;
    }

    if (!(f.create_flags & LWC_TRAP_FAULTS)) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "\"lwc_rollback on\" cannot be kept: this version of the "
                      "lwc kernel module cannot tell of crashes");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_lwc_init(ngx_cycle_t *cycle, size_t arena)
{
    ngx_http_lwc.limit = arena;
    ngx_http_lwc.size = arena + NGX_HTTP_LWC_HEADERS;

    if (ngx_http_lwc_map(cycle->log) != NGX_OK
        || ngx_http_lwc_random_init(cycle) != NGX_OK
        || ngx_http_lwc_files_init(cycle) != NGX_OK
        || ngx_http_lwc_inside_init(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_lwc_stop_init();
    ngx_http_lwc_process_init();

    ngx_http_lwc_files_scan(cycle);

    /*
     * A worker without a context starts all the same: each request tries to
     * make one, and is a 500 until that succeeds. One that ended here would not
     * be started again.
     */

    (void) ngx_http_lwc_make(cycle->log);

    /*
     * Modules that come after this one may still open what their handlers
     * need, or handle signals: look again when the worker has started.
     */

    ngx_http_lwc.settle.handler = ngx_http_lwc_settle;
    ngx_http_lwc.settle.data = cycle;
    ngx_http_lwc.settle.log = cycle->log;

    ngx_post_event(&ngx_http_lwc.settle, &ngx_posted_next_events);

    return NGX_OK;
}


static void
ngx_http_lwc_settle(ngx_event_t *ev)
{
    ngx_cycle_t  *cycle;

    cycle = ev->data;

    ngx_http_lwc_process_init();

    ngx_http_lwc_files_scan(cycle);
    (void) ngx_http_lwc_make(cycle->log);
}


static ngx_int_t
ngx_http_lwc_make(ngx_log_t *log)
{
    int                rc, old;
    ngx_pool_t        *pool;
    ngx_array_t       *specs;
    struct lwc_event   ev;

    old = ngx_http_lwc.fd;

    /* the old one has descriptors that are not to be used any more */

    ngx_http_lwc.fd = -1;

    if (old != -1) {
        (void) lwc_close(old);
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    specs = ngx_http_lwc_files_specs(pool);
    if (specs == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    rc = lwc_create(specs->elts, specs->nelts, LWC_TRAP_FAULTS, &ev);

    ngx_destroy_pool(pool);

    if (rc < 0) {
        ngx_log_error(NGX_LOG_EMERG, log, -rc,
                      "lwc_rollback: no request context can be made: %s",
                      ngx_http_lwc_why(rc));
        return NGX_ERROR;
    }

    if (ev.reason != LWC_EV_CREATED) {
        /* this is H, and nobody may enter it before a renew */
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "lwc_rollback: a request context was entered too early");
        _exit(1);
    }

    ngx_http_lwc.fd = ev.created;

    ngx_log_error(NGX_LOG_INFO, log, 0,
                  "lwc_rollback: request context %d, arena of %uz bytes",
                  ngx_http_lwc.fd, ngx_http_lwc.limit);

    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_map(ngx_log_t *log)
{
    u_char  *p;

    p = mmap(NULL, ngx_http_lwc.size, PROT_READ|PROT_WRITE,
             MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "lwc_rollback: mmap(%uz) for the arena failed",
                      ngx_http_lwc.size);
        return NGX_ERROR;
    }

    if (ngx_http_lwc.arena) {
        (void) munmap(ngx_http_lwc.arena, ngx_http_lwc.size);
    }

    ngx_http_lwc.arena = p;

    return NGX_OK;
}


/*
 * A handler left a thread in H: it can neither be ended from here nor renewed
 * away, and it still sees the arena. It keeps both to itself, the requests get
 * new ones, and the worker ends in good order: the master makes another.
 */

static ngx_int_t
ngx_http_lwc_replace(ngx_log_t *log)
{
    ngx_log_error(NGX_LOG_ALERT, log, 0,
                  "lwc_rollback: a handler left a thread behind, or a child "
                  "that shares its memory; this worker takes a new request "
                  "context and shuts down gracefully");

    if (ngx_process == NGX_PROCESS_WORKER) {
        ngx_quit = 1;
    }

    if (ngx_http_lwc_map(log) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_lwc_make(log);
}


/*
 * Descriptors that H has are named by number: make it anew where they moved, or
 * when that failed before.
 */

static ngx_int_t
ngx_http_lwc_refresh(ngx_cycle_t *cycle)
{
    if (ngx_http_lwc.settle.posted) {
        ngx_delete_posted_event(&ngx_http_lwc.settle);
        ngx_http_lwc_settle(&ngx_http_lwc.settle);

    } else if (ngx_http_lwc_files_changed(cycle) || ngx_http_lwc.fd == -1) {
        (void) ngx_http_lwc_make(cycle->log);
    }

    return (ngx_http_lwc.fd == -1) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_lwc_call(ngx_http_request_t *r, ngx_http_handler_pt handler,
    ngx_http_lwc_reply_t *reply)
{
    int                       rc;
    ngx_int_t                 ok;
    const char               *why;
    ngx_log_t                *log;
    ngx_uint_t                body;
    struct lwc_event          ev;
    ngx_http_lwc_loc_conf_t  *llcf;

    log = r->connection->log;

    if (ngx_http_lwc_refresh((ngx_cycle_t *) ngx_cycle) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lwc_rollback: there is no request context");
        return NGX_ERROR;
    }

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lwc_module);

    if (llcf->timeout && ngx_http_lwc_stop_prepare(log) != NGX_OK) {
        return NGX_ERROR;
    }

    /* H has no socket to ask for the address */

    if (ngx_connection_local_sockaddr(r->connection, NULL, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    /* nor a file of a number that was not in use when it was made */

    body = (r->request_body
            && r->request_body->temp_file
            && r->request_body->temp_file->file.fd != NGX_INVALID_FILE);

    if (body
        && ngx_http_lwc_files_give(NGX_HTTP_LWC_W,
                                   r->request_body->temp_file->file.fd)
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "lwc_rollback: the request body cannot be handed over");
        return NGX_ERROR;
    }

    ngx_memzero(ngx_http_lwc.arena, sizeof(ngx_http_lwc_result_t));

    ngx_http_lwc_random_next();
    ngx_http_lwc_process_enter();

    rc = ngx_http_lwc_renew(r, handler);

    if (rc == -EBUSY && ngx_http_lwc_replace(log) == NGX_OK) {
        rc = ngx_http_lwc_renew(r, handler);
    }

    if (rc == 0) {

        if (llcf->timeout) {
            ngx_http_lwc_stop_arm(llcf->timeout);
        }

        rc = lwc_switch(ngx_http_lwc.fd, 0, 0, &ev);

        if (llcf->timeout) {
            ngx_http_lwc_stop_disarm();
        }
    }

    ngx_http_lwc_process_left(r);

    if (body) {
        ngx_http_lwc_files_drain(NGX_HTTP_LWC_H);
    }

    if (rc < 0) {
        ngx_log_error(NGX_LOG_ALERT, log, -rc,
                      "lwc_rollback: the request context cannot be entered: %s",
                      ngx_http_lwc_why(rc));
        return NGX_ERROR;
    }

    if (ev.reason == LWC_EV_FAULT) {
        return ngx_http_lwc_crashed(r, &ev);
    }

    ok = ngx_http_lwc_fetch(r, reply);

    if (ok != NGX_OK) {
        ngx_http_lwc_files_drain(NGX_HTTP_LWC_W);
        return NGX_ERROR;
    }

    why = ngx_http_lwc_check(r, reply);

    /* what no record spoke of, the next request's would be taken for */

    ngx_http_lwc_files_drain(NGX_HTTP_LWC_W);

    if (why) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lwc_rollback: what the handler of \"%V\" left is "
                      "refused: %s", &r->uri, why);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * H stands at its fault until it is renewed; how much it has written is not known.
 * The addresses are what H says they are: they are only printed and compared.
 */

static ngx_int_t
ngx_http_lwc_crashed(ngx_http_request_t *r, const struct lwc_event *ev)
{
    Dl_info                 info;
    ngx_log_t              *log;
    uintptr_t               ip;
    ngx_http_lwc_result_t   result;

    log = r->connection->log;
    ip = ev->fault.ip;

    ngx_memcpy(&result, ngx_http_lwc.arena, sizeof(ngx_http_lwc_result_t));

    if (result.outcome == NGX_HTTP_LWC_ABORTED) {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "lwc_rollback: the handler of \"%V\" crashed: it called "
                      "abort()", &r->uri);

    } else if (result.outcome == NGX_HTTP_LWC_LATE) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lwc_rollback: the handler of \"%V\" was not done within "
                      "\"lwc_timeout\", and was ended", &r->uri);

    } else if (dladdr((void *) ip, &info) && info.dli_fname) {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "lwc_rollback: the handler of \"%V\" crashed: signal %uD, "
                      "code %D, in %s at 0x%xL, address 0x%xL",
                      &r->uri, ev->nr, (int32_t) ev->fault.code, info.dli_fname,
                      (uint64_t) (ip - (uintptr_t) info.dli_fbase),
                      (uint64_t) ev->fault.addr);

    } else {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "lwc_rollback: the handler of \"%V\" crashed: signal %uD, "
                      "code %D, at 0x%xL, address 0x%xL",
                      &r->uri, ev->nr, (int32_t) ev->fault.code, (uint64_t) ip,
                      (uint64_t) ev->fault.addr);
    }

    ngx_http_lwc_wipe(ngx_http_lwc.size - sizeof(ngx_http_lwc_result_t));
    ngx_http_lwc_files_drain(NGX_HTTP_LWC_W);

    return (result.outcome == NGX_HTTP_LWC_LATE) ? NGX_HTTP_GATEWAY_TIME_OUT
                                                 : NGX_ERROR;
}


/* returns twice: in W with what to do next; in H never, the handler runs */

static int
ngx_http_lwc_renew(ngx_http_request_t *r, ngx_http_handler_pt handler)
{
    int               rc;
    struct lwc_event  ev;

    rc = lwc_renew(ngx_http_lwc.fd, 0, &ev);

    if (rc == 0 && ev.reason != LWC_EV_CREATED) {
        ngx_http_lwc_inside(r, handler, ngx_http_lwc.arena, ngx_http_lwc.size,
                            ev.caller);
    }

    return rc;
}


/* the result and the bytes after it; there the next handler begins to write */

static void
ngx_http_lwc_wipe(size_t len)
{
    len += sizeof(ngx_http_lwc_result_t);

    if (len >= NGX_HTTP_LWC_WIPE
        && madvise(ngx_http_lwc.arena, ngx_align(len, ngx_pagesize),
                   MADV_REMOVE)
           == 0)
    {
        return;
    }

    ngx_memzero(ngx_http_lwc.arena, len);
}


/*
 * One copy: a child or thread that a handler left behind may go on writing to
 * the arena, but not to this. Then what was said to be used of the arena is
 * wiped, for the next handler not to find there what this one wrote.
 */

static ngx_int_t
ngx_http_lwc_fetch(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    u_char                 *p;
    size_t                  room;
    ngx_log_t              *log;
    ngx_http_lwc_result_t  *result;

    log = r->connection->log;

    result = &reply->result;
    p = ngx_http_lwc.arena;
    room = ngx_http_lwc.size - sizeof(ngx_http_lwc_result_t);

    ngx_memcpy(result, p, sizeof(ngx_http_lwc_result_t));
    p += sizeof(ngx_http_lwc_result_t);

    if (result->outcome == NGX_HTTP_LWC_FULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lwc_rollback: the response to \"%V\" does not fit into "
                      "the arena: it needs more than %uL bytes, "
                      "\"lwc_arena\" is %uz",
                      &r->uri, result->used, ngx_http_lwc.limit);
        ngx_http_lwc_wipe(room);
        return NGX_ERROR;
    }

    if (result->used > room) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lwc_rollback: what the handler of \"%V\" left is "
                      "refused: it is said to be larger than the arena",
                      &r->uri);
        ngx_http_lwc_wipe(room);
        return NGX_ERROR;
    }

    if (result->outcome == NGX_HTTP_LWC_LEFT) {
        ngx_http_lwc_wipe(result->used);

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "lwc_rollback: the handler of \"%V\" was not done when "
                      "it returned, it left behind %s", &r->uri,
                      (result->rc > 0
                       && result->rc <= NGX_HTTP_LWC_LEFT_COUNT)
                      ? ngx_http_lwc_left[result->rc] : "something");
        return NGX_ERROR;
    }

    reply->first = ngx_palloc(r->pool, result->used);
    if (reply->first == NULL) {
        ngx_http_lwc_wipe(result->used);
        return NGX_ERROR;
    }

    reply->last = ngx_cpymem(reply->first, p, result->used);

    ngx_http_lwc_wipe(result->used);

    return NGX_OK;
}


static const char *
ngx_http_lwc_why(int rc)
{
    switch (rc) {

    case -ENODEV:
        return "there is no /dev/lwc; is the lwc kernel module loaded?";

    case -EACCES:
        return "this user may not open /dev/lwc; nginx must be started by root "
               "or a member of group lwc";

    case -EOPNOTSUPP:
        return "this process has something that contexts cannot have";

    case -EPERM:
        return "new contexts are switched off (the kernel module's parameter "
               "\"enabled\"), or a debugger is attached that may not look at "
               "this context";

    case -EBUSY:
        return "a thread, or a child that shares its memory, is still there";

    case -ENOMEM:
        return "there is not enough memory";

    case -EAGAIN:
        return "the kernel module's limit of contexts for this user is reached";

    case -EMFILE:
        return "the limit of descriptors or of contexts is reached";

    default:
        return "unexpected error";
    }
}
