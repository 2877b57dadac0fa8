/* SPDX-License-Identifier: MIT */
/*
 * What happens in H: the content handler runs, and whatever it does to answer or
 * to end the request is taken down in the arena instead. All memory here is a
 * copy that is thrown away, nginx's own too, so it is simply changed where the
 * handler must meet something else than in W: the filters, the phases, the event
 * actions. This must never write to the client, to the access log or to W's
 * event loop, and never return.
 */

#include "ngx_http_lwc.h"

#include <lwc.h>


static void ngx_http_lwc_prepare(ngx_http_request_t *r);
static void ngx_http_lwc_take_body(ngx_http_request_t *r);
static void ngx_http_lwc_detach_syslog(ngx_log_t *log);
static void ngx_http_lwc_returned(ngx_http_request_t *r, ngx_int_t rc)
    __attribute__((noreturn));
static void ngx_http_lwc_leave(ngx_http_request_t *r, ngx_uint_t outcome,
    ngx_int_t rc)
    __attribute__((noreturn));
static void ngx_http_lwc_exit(void)
    __attribute__((noreturn));
static void ngx_http_lwc_forked(void);

static ngx_int_t ngx_http_lwc_left_behind(ngx_http_request_t *r);
static ngx_uint_t ngx_http_lwc_timer_left(ngx_http_request_t *r);
static void ngx_http_lwc_cleanup(ngx_http_request_t *r);
static void ngx_http_lwc_cleanup_pool(ngx_pool_t *pool,
    ngx_pool_cleanup_t *last);

static ngx_int_t ngx_http_lwc_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_lwc_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_lwc_phase(ngx_http_request_t *r,
    ngx_http_phase_handler_t *ph);

static ngx_int_t ngx_http_lwc_add_event(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t flags);
static ngx_int_t ngx_http_lwc_del_event(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t flags);
static ngx_int_t ngx_http_lwc_add_conn(ngx_connection_t *c);
static ngx_int_t ngx_http_lwc_del_conn(ngx_connection_t *c, ngx_uint_t flags);
static ngx_int_t ngx_http_lwc_notify(ngx_event_handler_pt handler);
static void ngx_http_lwc_insert_timer(ngx_rbtree_node_t *root,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);

static u_char *ngx_http_lwc_put(ngx_uint_t type, ngx_uint_t flags,
    uint32_t arg, size_t len);
static void ngx_http_lwc_put_text(ngx_uint_t type, ngx_str_t *text);
static void ngx_http_lwc_put_head(ngx_http_request_t *r, ngx_uint_t flags);
static void ngx_http_lwc_put_headers(ngx_http_request_t *r, ngx_uint_t type,
    ngx_list_t *headers);
static ngx_uint_t ngx_http_lwc_role(ngx_http_request_t *r, ngx_table_elt_t *h);
static void ngx_http_lwc_put_variables(ngx_http_request_t *r);
static void ngx_http_lwc_put_buf(ngx_http_request_t *r, ngx_buf_t *b);
static void ngx_http_lwc_put_file(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_uint_t flags);


/* a part of a file up to this size is read, a larger one handed over */

#define NGX_HTTP_LWC_READ_MAX  16384

/* but not more than so many: the socket holds only some */

#define NGX_HTTP_LWC_GIVE_MAX  64

/* references that keep the request alive, whatever the handler finalizes */

#define NGX_HTTP_LWC_HOLD      16

#define NGX_HTTP_LWC_TIMERS    8


/* phase handlers that H has instead of nginx's: where a request may go on */

#define NGX_HTTP_LWC_PHASE_REDIRECT  0
#define NGX_HTTP_LWC_PHASE_NAMED     1
#define NGX_HTTP_LWC_PHASE_DECLINED  2


static ngx_http_phase_handler_t  ngx_http_lwc_phases[] = {
    { ngx_http_lwc_phase, NULL, NGX_HTTP_LWC_PHASE_REDIRECT },
    { ngx_http_lwc_phase, NULL, NGX_HTTP_LWC_PHASE_NAMED },
    { ngx_http_lwc_phase, NULL, NGX_HTTP_LWC_PHASE_DECLINED }
};


/* made in W: nginx's main configuration, but for those phases and no log */

static void                       **ngx_http_lwc_main_conf;
static ngx_http_core_main_conf_t    ngx_http_lwc_core_main_conf;


const size_t  ngx_http_lwc_roles[NGX_HTTP_LWC_ROLE_CACHE_CONTROL] = {
    0,
    offsetof(ngx_http_headers_out_t, server),
    offsetof(ngx_http_headers_out_t, date),
    offsetof(ngx_http_headers_out_t, content_length),
    offsetof(ngx_http_headers_out_t, content_encoding),
    offsetof(ngx_http_headers_out_t, location),
    offsetof(ngx_http_headers_out_t, refresh),
    offsetof(ngx_http_headers_out_t, last_modified),
    offsetof(ngx_http_headers_out_t, content_range),
    offsetof(ngx_http_headers_out_t, accept_ranges),
    offsetof(ngx_http_headers_out_t, www_authenticate),
    offsetof(ngx_http_headers_out_t, expires),
    offsetof(ngx_http_headers_out_t, etag)
};


/* used in H alone; in W it stays as it is at the start */

static struct {
    u_char                     *arena;     /* the mapping; NULL in W */
    size_t                      size;
    int                         caller;
    ngx_uint_t                  forked;    /* a child of H, not H */

    u_char                     *pos;
    u_char                     *end;
    size_t                      need;      /* bytes of records, fitting or not */
    ngx_uint_t                  head;      /* it is in the arena */
    ngx_uint_t                  given;     /* files */

    ngx_uint_t                  count;
    ngx_uint_t                  blocked;
    ngx_uint_t                  timedout;
    ngx_uint_t                  post_action;
    ngx_uint_t                  events;
    ngx_http_upstream_t        *upstream;
    ngx_http_variable_value_t  *variables;
    ngx_str_t                   uri;
    ngx_str_t                   args;

    ngx_queue_t                *posted[3];
    ngx_uint_t                  timers_empty;
    ngx_uint_t                  ntimers;
    ngx_rbtree_node_t          *timers[NGX_HTTP_LWC_TIMERS];
    ngx_rbtree_insert_pt        insert;

    ngx_pool_cleanup_t         *request_cleanup;
    ngx_pool_cleanup_t         *connection_cleanup;
    ngx_pool_cleanup_t         *cycle_cleanup;
} in;


/* W, when it starts */

ngx_int_t
ngx_http_lwc_inside_init(ngx_cycle_t *cycle)
{
    ngx_http_conf_ctx_t        *ctx;
    ngx_http_core_main_conf_t  *cmcf;

    ctx = (ngx_http_conf_ctx_t *) cycle->conf_ctx[ngx_http_module.index];

    ngx_http_lwc_main_conf = ngx_palloc(cycle->pool,
                                        sizeof(void *) * ngx_http_max_module);
    if (ngx_http_lwc_main_conf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_http_lwc_main_conf, ctx->main_conf,
               sizeof(void *) * ngx_http_max_module);

    cmcf = &ngx_http_lwc_core_main_conf;

    *cmcf = *(ngx_http_core_main_conf_t *)
                                ctx->main_conf[ngx_http_core_module.ctx_index];

    cmcf->phase_engine.handlers = ngx_http_lwc_phases;
    cmcf->phase_engine.server_rewrite_index = NGX_HTTP_LWC_PHASE_REDIRECT;
    cmcf->phase_engine.location_rewrite_index = NGX_HTTP_LWC_PHASE_NAMED;
    cmcf->phases[NGX_HTTP_LOG_PHASE].handlers.nelts = 0;

    ngx_http_lwc_main_conf[ngx_http_core_module.ctx_index] = cmcf;

    if (pthread_atfork(NULL, NULL, ngx_http_lwc_forked) != 0) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_lwc_inside(ngx_http_request_t *r, ngx_http_handler_pt handler,
    u_char *arena, size_t size, int caller)
{
    in.arena = arena;
    in.size = size;
    in.caller = caller;

    ngx_http_lwc_prepare(r);

    ngx_http_lwc_returned(r, handler(r));
}


static void
ngx_http_lwc_prepare(ngx_http_request_t *r)
{
    size_t                      size;
    ngx_connection_t           *c;
    ngx_http_core_main_conf_t  *cmcf;

    c = r->connection;

    ngx_http_lwc_process_inside();

    in.pos = in.arena + sizeof(ngx_http_lwc_result_t);
    in.end = in.arena + in.size;

    if (r->request_body
        && r->request_body->temp_file
        && r->request_body->temp_file->file.fd != NGX_INVALID_FILE)
    {
        ngx_http_lwc_take_body(r);
    }

    /* the socket is not here: its number may come to mean something else */

    c->fd = (ngx_socket_t) -1;

    ngx_http_lwc_detach_syslog(c->log);
    ngx_http_lwc_detach_syslog(ngx_cycle->log);

    /* remember what would tell that the handler left something behind */

    in.count = r->main->count;
    in.blocked = r->main->blocked;
    in.timedout = c->timedout;
    in.post_action = r->post_action;
    in.upstream = r->upstream;
    in.uri = r->uri;
    in.args = r->args;

    in.posted[0] = ngx_posted_accept_events.prev;
    in.posted[1] = ngx_posted_events.prev;
    in.posted[2] = ngx_posted_next_events.prev;

    in.timers_empty = (ngx_event_timer_rbtree.root
                       == ngx_event_timer_rbtree.sentinel);
    in.insert = ngx_event_timer_rbtree.insert;
    ngx_event_timer_rbtree.insert = ngx_http_lwc_insert_timer;

    ngx_event_actions.add = ngx_http_lwc_add_event;
    ngx_event_actions.del = ngx_http_lwc_del_event;
    ngx_event_actions.enable = ngx_http_lwc_add_event;
    ngx_event_actions.disable = ngx_http_lwc_del_event;
    ngx_event_actions.add_conn = ngx_http_lwc_add_conn;
    ngx_event_actions.del_conn = ngx_http_lwc_del_conn;
    ngx_event_actions.notify = ngx_http_lwc_notify;

    in.request_cleanup = r->pool->cleanup;
    in.connection_cleanup = c->pool->cleanup;
    in.cycle_cleanup = ngx_cycle->pool->cleanup;

    cmcf = &ngx_http_lwc_core_main_conf;
    size = cmcf->variables.nelts * sizeof(ngx_http_variable_value_t);

    in.variables = ngx_palloc(r->pool, size);
    if (in.variables) {
        ngx_memcpy(in.variables, r->variables, size);
    }

    /*
     * whatever is finalized inside, the request is neither closed nor logged
     * here, nor are its cleanups run, its subrequest's parent told, or an error
     * page looked for
     */

    r->main->count += NGX_HTTP_LWC_HOLD;
    r->main->cleanup = NULL;
    r->main->posted_requests = NULL;
    r->postponed = NULL;
    r->post_subrequest = NULL;
    r->main_conf = ngx_http_lwc_main_conf;
    r->phase_handler = NGX_HTTP_LWC_PHASE_DECLINED;
    r->uri_changes = 0;
    r->buffered = 0;
    c->buffered = 0;
    c->data = r;

    /* set again only where an error page begins */

    r->expect_tested = 0;

    ngx_http_top_header_filter = ngx_http_lwc_header_filter;
    ngx_http_top_body_filter = ngx_http_lwc_body_filter;
}


/* W handed the file over; what refers to it does so by number */

static void
ngx_http_lwc_take_body(ngx_http_request_t *r)
{
    ngx_fd_t  fd, want;

    want = r->request_body->temp_file->file.fd;

    if (in.caller == want) {
        fd = fcntl(in.caller, F_DUPFD_CLOEXEC, want + 1);

        if (fd == -1) {
            return;
        }

        (void) close(in.caller);
        in.caller = fd;
    }

    fd = ngx_http_lwc_files_take(NGX_HTTP_LWC_H);

    if (fd == want || fd == NGX_INVALID_FILE) {
        return;
    }

    (void) dup3(fd, want, O_CLOEXEC);
    (void) close(fd);
}


/* a socket to syslog that W has opened since is not here: open another */

static void
ngx_http_lwc_detach_syslog(ngx_log_t *log)
{
    ngx_syslog_peer_t  *peer;

    for ( /* void */ ; log; log = log->next) {

        if (log->writer == ngx_syslog_writer) {
            peer = log->wdata;
            peer->conn.fd = (ngx_socket_t) -1;
        }
    }
}


static void
ngx_http_lwc_returned(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_int_t              left;
    ngx_connection_t      *c;
    ngx_http_ephemeral_t  *e;

    c = r->connection;
    e = ngx_http_ephemeral(r->main);

    if (r->main->posted_requests == &e->terminal_posted_request) {

        /* finalized inside with an error: nothing more is to be sent */

        r->main->posted_requests = NULL;

        if (c->timedout && !in.timedout) {
            rc = NGX_HTTP_CLOSE;

        } else if (r->headers_out.status == NGX_HTTP_REQUEST_TIME_OUT
                   || r->headers_out.status == NGX_HTTP_CLIENT_CLOSED_REQUEST)
        {
            rc = r->headers_out.status;

        } else {
            rc = NGX_ERROR;
        }

        ngx_http_lwc_leave(r, NGX_HTTP_LWC_FINALIZE, rc);
    }

    left = ngx_http_lwc_left_behind(r);

    if (left == 0 && r->main->count > in.count + NGX_HTTP_LWC_HOLD) {
        left = NGX_HTTP_LWC_LEFT_COUNT;
    }

    if (rc == NGX_DONE && r->done) {

        /* finalized inside, and well */

        rc = NGX_OK;

    } else if (left == 0 && (rc == NGX_AGAIN || rc == NGX_DONE)) {
        left = NGX_HTTP_LWC_LEFT_AGAIN;
    }

    if (left) {
        ngx_http_lwc_leave(r, NGX_HTTP_LWC_LEFT, left);
    }

    if (rc < 0 && rc != NGX_DECLINED) {
        rc = NGX_ERROR;
    }

    ngx_http_lwc_leave(r, NGX_HTTP_LWC_FINALIZE, rc);
}


/* the one way out: from the handler's end, or from inside of it */

static void
ngx_http_lwc_leave(ngx_http_request_t *r, ngx_uint_t outcome, ngx_int_t rc)
{
    ngx_int_t               left;
    ngx_http_lwc_result_t  *result;

    if (in.forked) {
        ngx_http_lwc_exit();
    }

    if (outcome != NGX_HTTP_LWC_LEFT) {
        left = ngx_http_lwc_left_behind(r);

        if (left) {
            outcome = NGX_HTTP_LWC_LEFT;
            rc = left;
        }
    }

    if (outcome != NGX_HTTP_LWC_LEFT) {

        if (!in.head) {
            ngx_http_lwc_put_head(r, 0);
        }

        ngx_http_lwc_put_headers(r, NGX_HTTP_LWC_TRAILER,
                                 &r->headers_out.trailers);
        ngx_http_lwc_put_variables(r);

        if (outcome == NGX_HTTP_LWC_REDIRECT
            || r->uri.data != in.uri.data
            || r->uri.len != in.uri.len)
        {
            ngx_http_lwc_put_text(NGX_HTTP_LWC_URI, &r->uri);
        }

        /* none at all is something else than empty ones */

        if (r->args.data
            && (outcome == NGX_HTTP_LWC_REDIRECT
                || r->args.data != in.args.data
                || r->args.len != in.args.len))
        {
            ngx_http_lwc_put_text(NGX_HTTP_LWC_ARGS, &r->args);
        }
    }

    ngx_http_lwc_cleanup(r);

    if (in.forked) {
        ngx_http_lwc_exit();
    }

    result = (ngx_http_lwc_result_t *) in.arena;

    result->rc = (int32_t) rc;

    if (in.pos) {
        result->outcome = outcome;
        result->used = in.pos - in.arena - sizeof(ngx_http_lwc_result_t);

    } else {
        result->outcome = NGX_HTTP_LWC_FULL;
        result->used = in.need + sizeof(ngx_http_lwc_result_t);
    }

    ngx_http_lwc_files_close(in.caller);

    ngx_http_lwc_exit();
}


static void
ngx_http_lwc_exit(void)
{
    int               rc;
    struct lwc_event  ev;

    /* a child may end as the handler of any process may: it has no W */

    if (in.forked) {
        _exit(0);
    }

    rc = lwc_switch(in.caller, 0, 0, &ev);

    /*
     * W cannot be reached, and nothing else may run in this process. If the
     * handler closed that descriptor, it closed the log's too; standard error
     * is the log as well.
     */

    ngx_log_stderr((rc < 0) ? -rc : 0,
                   "lwc_rollback: the handler of \"%V\" lost the way back to "
                   "the worker, which ends", &in.uri);

    _exit(1);
}


/*
 * In a signal's handler, wherever that came. Returns where there is no W to go to:
 * in W itself, and in a child.
 */

void
ngx_http_lwc_inside_stop(ngx_uint_t outcome)
{
    if (in.arena == NULL || in.forked) {
        return;
    }

    ((volatile ngx_http_lwc_result_t *) in.arena)->outcome = outcome;

    __builtin_trap();
}


/* a child that a handler forks must not write to what W reads */

static void
ngx_http_lwc_forked(void)
{
    if (in.arena && !in.forked) {
        (void) munmap(in.arena, in.size);
        ngx_http_lwc_files_forked();
        ngx_http_lwc_process_forked();
        in.forked = 1;
        in.pos = NULL;
    }
}


static ngx_int_t
ngx_http_lwc_left_behind(ngx_http_request_t *r)
{
    ngx_http_posted_request_t  *pr;

    if (r->upstream != in.upstream) {
        return NGX_HTTP_LWC_LEFT_UPSTREAM;
    }

    /* a subrequest that is finalized posts its parent, W does that again */

    pr = r->main->posted_requests;

    if (r->done && pr && pr->request == r->parent) {
        pr = pr->next;
    }

    if (pr || r->postponed) {
        return NGX_HTTP_LWC_LEFT_REQUEST;
    }

    if (r->aio || r->main->blocked != in.blocked) {
        return NGX_HTTP_LWC_LEFT_THREAD;
    }

    if (in.events) {
        return NGX_HTTP_LWC_LEFT_EVENT;
    }

    if (in.posted[0] != ngx_posted_accept_events.prev
        || in.posted[1] != ngx_posted_events.prev
        || in.posted[2] != ngx_posted_next_events.prev)
    {
        return NGX_HTTP_LWC_LEFT_POSTED;
    }

    if (ngx_http_lwc_timer_left(r)) {
        return NGX_HTTP_LWC_LEFT_TIMER;
    }

    if (r->buffered) {
        return NGX_HTTP_LWC_LEFT_BUFFERED;
    }

    return 0;
}


/*
 * The timers of the client's connection are W's business: finalizing sets and
 * deletes them, and W does that again.
 */

static ngx_uint_t
ngx_http_lwc_timer_left(ngx_http_request_t *r)
{
    ngx_uint_t          i;
    ngx_event_t        *ev;
    ngx_rbtree_node_t  *node, *root, *sentinel;

    root = ngx_event_timer_rbtree.root;
    sentinel = ngx_event_timer_rbtree.sentinel;

    if (root == sentinel || (in.ntimers == 0 && !in.timers_empty)) {
        return 0;
    }

    for (node = ngx_rbtree_min(root, sentinel);
         node;
         node = ngx_rbtree_next(&ngx_event_timer_rbtree, node))
    {
        ev = ngx_rbtree_data(node, ngx_event_t, timer);

        if (ev == r->connection->read || ev == r->connection->write) {
            continue;
        }

        if (in.timers_empty || in.ntimers > NGX_HTTP_LWC_TIMERS) {
            return 1;
        }

        for (i = 0; i < in.ntimers; i++) {
            if (in.timers[i] == node) {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * For H the request's life ends here, so what the handler wants done at its end
 * (close a file, remove it, give back a place in shared memory) is done here.
 */

static void
ngx_http_lwc_cleanup(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;

    while (r->main->cleanup) {
        cln = r->main->cleanup;
        r->main->cleanup = cln->next;

        if (cln->handler) {
            cln->handler(cln->data);
        }
    }

    ngx_http_lwc_cleanup_pool(r->pool, in.request_cleanup);

    if (r->connection->pool != r->pool) {
        ngx_http_lwc_cleanup_pool(r->connection->pool, in.connection_cleanup);
    }

    ngx_http_lwc_cleanup_pool(ngx_cycle->pool, in.cycle_cleanup);
}


static void
ngx_http_lwc_cleanup_pool(ngx_pool_t *pool, ngx_pool_cleanup_t *last)
{
    ngx_pool_cleanup_t  *cln;

    while (pool->cleanup != last) {
        cln = pool->cleanup;
        pool->cleanup = cln->next;

        if (cln->handler) {
            cln->handler(cln->data);
        }
    }
}


/* the first header filter, and the last: W's come when it has been checked */

static ngx_int_t
ngx_http_lwc_header_filter(ngx_http_request_t *r)
{
    ngx_uint_t  flags;

    if (r->expect_tested) {

        /* finalized with a status whose page nginx is about to send */

        ngx_http_lwc_leave(r, NGX_HTTP_LWC_SPECIAL, r->err_status);
    }

    if (r->header_sent) {
        return NGX_OK;
    }

    flags = NGX_HTTP_LWC_HEAD_SENT;

    if (r->header_only) {
        flags |= NGX_HTTP_LWC_HEAD_ONLY;
    }

    /* what handlers may ask after ngx_http_send_header() */

    r->header_sent = 1;

    if (r == r->main && r->http_version >= NGX_HTTP_VERSION_10) {

        if (r->method == NGX_HTTP_HEAD
            || (r->headers_out.status_line.len == 0
                && (r->headers_out.status == NGX_HTTP_NO_CONTENT
                    || r->headers_out.status == NGX_HTTP_NOT_MODIFIED)))
        {
            r->header_only = 1;
        }
    }

    if (r->header_only) {
        flags |= NGX_HTTP_LWC_HEAD_KNOWN_ONLY;
    }

    ngx_http_lwc_put_head(r, flags);

    return in.pos ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_lwc_body_filter(ngx_http_request_t *r, ngx_chain_t *chain)
{
    (void) ngx_http_lwc_put(NGX_HTTP_LWC_CALL, 0, 0, 0);

    for ( /* void */ ; chain; chain = chain->next) {
        ngx_http_lwc_put_buf(r, chain->buf);
    }

    return in.pos ? NGX_OK : NGX_ERROR;
}


/* the request is to go on in other phases: in W */

static ngx_int_t
ngx_http_lwc_phase(ngx_http_request_t *r, ngx_http_phase_handler_t *ph)
{
    ngx_http_core_loc_conf_t  *clcf;

    if (r->post_action && !in.post_action) {

        /* the end of finalizing: W does that again */

        r->uri = in.uri;
        r->args = in.args;

        ngx_http_lwc_leave(r, NGX_HTTP_LWC_FINALIZE,
                           r->done ? NGX_OK : NGX_ERROR);
    }

    switch (ph->next) {

    case NGX_HTTP_LWC_PHASE_REDIRECT:
        ngx_http_lwc_leave(r, NGX_HTTP_LWC_REDIRECT, 0);

    case NGX_HTTP_LWC_PHASE_NAMED:
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        ngx_http_lwc_put_text(NGX_HTTP_LWC_NAME, &clcf->name);
        ngx_http_lwc_leave(r, NGX_HTTP_LWC_NAMED, 0);

    default: /* NGX_HTTP_LWC_PHASE_DECLINED */
        ngx_http_lwc_leave(r, NGX_HTTP_LWC_FINALIZE, NGX_DECLINED);
    }
}


static ngx_int_t
ngx_http_lwc_add_event(ngx_event_t *ev, ngx_int_t event, ngx_uint_t flags)
{
    in.events++;
    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_del_event(ngx_event_t *ev, ngx_int_t event, ngx_uint_t flags)
{
    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_add_conn(ngx_connection_t *c)
{
    in.events++;
    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_del_conn(ngx_connection_t *c, ngx_uint_t flags)
{
    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_notify(ngx_event_handler_pt handler)
{
    in.events++;
    return NGX_OK;
}


/* not called for the first node of a tree: see timers_empty */

static void
ngx_http_lwc_insert_timer(ngx_rbtree_node_t *root, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    if (in.ntimers < NGX_HTTP_LWC_TIMERS) {
        in.timers[in.ntimers] = node;
    }

    in.ntimers++;

    in.insert(root, node, sentinel);
}


/* room for a record's bytes; NULL when the arena is full, now and from then on */

static u_char *
ngx_http_lwc_put(ngx_uint_t type, ngx_uint_t flags, uint32_t arg, size_t len)
{
    u_char                 *p;
    size_t                  room;
    ngx_http_lwc_record_t  *rec;

    room = ngx_http_lwc_room(len);

    in.need += room;

    /* a length near the largest of all would make the room small again */

    if (in.pos == NULL
        || len > in.size
        || room > (size_t) (in.end - in.pos))
    {
        in.pos = NULL;
        return NULL;
    }

    rec = (ngx_http_lwc_record_t *) in.pos;

    rec->type = (uint16_t) type;
    rec->flags = (uint16_t) flags;
    rec->arg = arg;
    rec->len = len;

    p = in.pos + sizeof(ngx_http_lwc_record_t);
    in.pos += room;

    return p;
}


static void
ngx_http_lwc_put_text(ngx_uint_t type, ngx_str_t *text)
{
    u_char  *p;

    p = ngx_http_lwc_put(type, 0, 0, text->len);
    if (p) {
        ngx_memcpy(p, text->data, text->len);
    }
}


static void
ngx_http_lwc_put_head(ngx_http_request_t *r, ngx_uint_t flags)
{
    u_char                  *p;
    ngx_http_lwc_head_t      head;
    ngx_http_headers_out_t  *out;

    in.head = 1;

    out = &r->headers_out;

    flags |= (r->keepalive ? NGX_HTTP_LWC_HEAD_KEEPALIVE : 0)
             | (r->allow_ranges ? NGX_HTTP_LWC_HEAD_ALLOW_RANGES : 0)
             | (r->single_range ? NGX_HTTP_LWC_HEAD_SINGLE_RANGE : 0)
             | (r->disable_not_modified ? NGX_HTTP_LWC_HEAD_NO_304 : 0)
             | (r->expect_trailers ? NGX_HTTP_LWC_HEAD_TRAILERS : 0)
             | (r->error_page ? NGX_HTTP_LWC_HEAD_ERROR_PAGE : 0)
             | (r->filter_need_in_memory ? NGX_HTTP_LWC_HEAD_IN_MEMORY : 0)
             | (r->limit_rate_set ? NGX_HTTP_LWC_HEAD_RATE : 0)
             | (r->limit_rate_after_set ? NGX_HTTP_LWC_HEAD_RATE_AFTER : 0);

    head.status = (uint32_t) out->status;
    head.flags = (uint32_t) flags;
    head.content_length = out->content_length_n;
    head.last_modified = out->last_modified_time;
    head.content_type_len = out->content_type_len;
    head.limit_rate = r->limit_rate;
    head.limit_rate_after = r->limit_rate_after;

    p = ngx_http_lwc_put(NGX_HTTP_LWC_HEAD, 0, 0, sizeof(head));
    if (p) {
        ngx_memcpy(p, &head, sizeof(head));
    }

    if (out->status_line.len) {
        ngx_http_lwc_put_text(NGX_HTTP_LWC_STATUS_LINE, &out->status_line);
    }

    if (out->content_type.len) {
        ngx_http_lwc_put_text(NGX_HTTP_LWC_CONTENT_TYPE, &out->content_type);
    }

    if (out->charset.len) {
        ngx_http_lwc_put_text(NGX_HTTP_LWC_CHARSET, &out->charset);
    }

    ngx_http_lwc_put_headers(r, NGX_HTTP_LWC_HEADER, &out->headers);
}


static void
ngx_http_lwc_put_headers(ngx_http_request_t *r, ngx_uint_t type,
    ngx_list_t *headers)
{
    u_char           *p;
    ngx_uint_t        i, role;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &headers->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0) {
                continue;
            }

            role = (type == NGX_HTTP_LWC_HEADER) ? ngx_http_lwc_role(r, &h[i])
                                                 : NGX_HTTP_LWC_ROLE_NONE;

            /* one byte between the two, to end the key as a C string */

            p = ngx_http_lwc_put(type, role, (uint32_t) h[i].key.len,
                                 h[i].key.len + 1 + h[i].value.len);

            if (p) {
                p = ngx_cpymem(p, h[i].key.data, h[i].key.len);
                *p++ = '\0';
                ngx_memcpy(p, h[i].value.data, h[i].value.len);
            }
        }
    }
}


static ngx_uint_t
ngx_http_lwc_role(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    ngx_uint_t         i;
    ngx_array_t       *a;
    ngx_table_elt_t  **ph;

    for (i = NGX_HTTP_LWC_ROLE_ONE; i < NGX_HTTP_LWC_ROLE_CACHE_CONTROL; i++) {
        ph = (ngx_table_elt_t **)
                            ((char *) &r->headers_out + ngx_http_lwc_roles[i]);

        if (*ph == h) {
            return i;
        }
    }

    a = &r->headers_out.cache_control;
    ph = a->elts;

    for (i = 0; i < a->nelts; i++) {
        if (ph[i] == h) {
            return NGX_HTTP_LWC_ROLE_CACHE_CONTROL;
        }
    }

    a = &r->headers_out.link;
    ph = a->elts;

    for (i = 0; i < a->nelts; i++) {
        if (ph[i] == h) {
            return NGX_HTTP_LWC_ROLE_LINK;
        }
    }

    return NGX_HTTP_LWC_ROLE_NONE;
}


/* logs and later headers use what was set or first looked up in here */

static void
ngx_http_lwc_put_variables(ngx_http_request_t *r)
{
    u_char                     *p;
    ngx_uint_t                  i, n, flags;
    ngx_http_variable_value_t  *v, *was;

    if (in.variables == NULL) {
        return;
    }

    n = ngx_http_lwc_core_main_conf.variables.nelts;
    v = r->variables;
    was = in.variables;

    for (i = 0; i < n; i++) {

        if (ngx_memcmp(&v[i], &was[i], sizeof(ngx_http_variable_value_t)) == 0
            || (!v[i].valid && !v[i].not_found))
        {
            continue;
        }

        flags = (v[i].valid ? NGX_HTTP_LWC_VALUE_VALID : 0)
                | (v[i].no_cacheable ? NGX_HTTP_LWC_VALUE_NO_CACHEABLE : 0)
                | (v[i].not_found ? NGX_HTTP_LWC_VALUE_NOT_FOUND : 0)
                | (v[i].escape ? NGX_HTTP_LWC_VALUE_ESCAPE : 0);

        if (v[i].not_found) {
            (void) ngx_http_lwc_put(NGX_HTTP_LWC_VARIABLE, flags, i, 0);
            continue;
        }

        p = ngx_http_lwc_put(NGX_HTTP_LWC_VARIABLE, flags, i, v[i].len);
        if (p) {
            ngx_memcpy(p, v[i].data, v[i].len);
        }
    }
}


static void
ngx_http_lwc_put_buf(ngx_http_request_t *r, ngx_buf_t *b)
{
    u_char      *p;
    ngx_uint_t   flags;

    if (ngx_buf_size(b) < 0) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "lwc_rollback: the handler of \"%V\" sent a buffer of "
                      "negative size", &r->uri);

        ngx_http_lwc_leave(r, NGX_HTTP_LWC_FINALIZE, NGX_ERROR);
    }

    flags = (b->flush ? NGX_HTTP_LWC_BUF_FLUSH : 0)
            | (b->last_buf ? NGX_HTTP_LWC_BUF_LAST : 0)
            | (b->last_in_chain ? NGX_HTTP_LWC_BUF_LAST_IN_CHAIN : 0)
            | (b->sync ? NGX_HTTP_LWC_BUF_SYNC : 0);

    if (ngx_buf_in_memory(b)) {
        p = ngx_http_lwc_put(NGX_HTTP_LWC_DATA, flags, 0, b->last - b->pos);
        if (p) {
            ngx_memcpy(p, b->pos, b->last - b->pos);
        }

        /* sent, as handlers that use a buffer again expect */

        b->pos = b->last;

        if (b->in_file) {
            b->file_pos = b->file_last;
        }

        return;
    }

    if (b->in_file) {
        ngx_http_lwc_put_file(r, b, flags);
        b->file_pos = b->file_last;
        return;
    }

    (void) ngx_http_lwc_put(NGX_HTTP_LWC_DATA, flags, 0, 0);
}


static void
ngx_http_lwc_put_file(ngx_http_request_t *r, ngx_buf_t *b, ngx_uint_t flags)
{
    off_t                 size;
    u_char               *p;
    struct stat           st;
    ngx_http_lwc_file_t   file;

    size = b->file_last - b->file_pos;

    if (size > 0
        && !b->file->directio
        && (size <= NGX_HTTP_LWC_READ_MAX || in.given == NGX_HTTP_LWC_GIVE_MAX))
    {

        p = ngx_http_lwc_put(NGX_HTTP_LWC_DATA, flags, 0, size);

        if (p && pread(b->file->fd, p, size, b->file_pos) != (ssize_t) size) {
            goto failed;
        }

        return;
    }

    if (fstat(b->file->fd, &st) == -1) {
        goto failed;
    }

    ngx_memzero(&file, sizeof(ngx_http_lwc_file_t));

    file.dev = st.st_dev;
    file.ino = st.st_ino;
    file.first = b->file_pos;
    file.last = b->file_last;

    p = ngx_http_lwc_put(NGX_HTTP_LWC_FILE, flags, 0, sizeof(file));
    if (p == NULL) {
        return;
    }

    ngx_memcpy(p, &file, sizeof(file));

    if (ngx_http_lwc_files_give(NGX_HTTP_LWC_H, b->file->fd) != NGX_OK) {
        goto failed;
    }

    in.given++;

    return;

failed:

    ngx_log_error(NGX_LOG_CRIT, r->connection->log, ngx_errno,
                  "lwc_rollback: part of a file cannot be sent");

    ngx_http_lwc_leave(r, NGX_HTTP_LWC_FINALIZE, NGX_ERROR);
}
