/* SPDX-License-Identifier: MIT */
/*
 * The module: its directives, and where it enters a request. It puts itself
 * between nginx and the content handlers: those of locations, when the
 * configuration has been read, and those that an earlier phase installs for one
 * request. It must never let such a handler run in W where "lwc_rollback on"
 * holds, nor start when it could not keep that promise.
 */

#include "ngx_http_lwc.h"


typedef struct {
    ngx_http_handler_pt         handler;
} ngx_http_lwc_ctx_t;


static ngx_int_t ngx_http_lwc_precontent_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_lwc_content_handler(ngx_http_request_t *r);
static void ngx_http_lwc_run(ngx_http_request_t *r);
static ngx_http_handler_pt ngx_http_lwc_wrapped(ngx_http_request_t *r);
static ngx_http_handler_pt ngx_http_lwc_of_location(ngx_http_request_t *r);

static void *ngx_http_lwc_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_lwc_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_lwc_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_lwc_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_lwc_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_lwc_init_process(ngx_cycle_t *cycle);
static void ngx_http_lwc_exit_process(ngx_cycle_t *cycle);


#define NGX_HTTP_LWC_ARENA_MIN  (16 * 1024)
#define NGX_HTTP_LWC_ARENA_MAX  (1024 * 1024 * 1024)


static ngx_command_t  ngx_http_lwc_commands[] = {

    { ngx_string("lwc_rollback"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lwc_loc_conf_t, rollback),
      NULL },

    { ngx_string("lwc_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_lwc_loc_conf_t, timeout),
      NULL },

    { ngx_string("lwc_arena"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_lwc_main_conf_t, arena),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_lwc_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_lwc_postconfiguration,        /* postconfiguration */

    ngx_http_lwc_create_main_conf,         /* create main configuration */
    ngx_http_lwc_init_main_conf,           /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_lwc_create_loc_conf,          /* create location configuration */
    ngx_http_lwc_merge_loc_conf            /* merge location configuration */
};


ngx_module_t  ngx_http_lwc_module = {
    NGX_MODULE_V1,
    &ngx_http_lwc_module_ctx,              /* module context */
    ngx_http_lwc_commands,                 /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_lwc_init_process,             /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_lwc_exit_process,             /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_lwc_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_lwc_ctx_t       *ctx;
    ngx_http_lwc_loc_conf_t  *llcf;

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lwc_module);

    if (r->content_handler == NULL
        || (r->content_handler == ngx_http_lwc_content_handler
            && ngx_http_get_module_ctx(r, ngx_http_lwc_module))
        || (r->content_handler != ngx_http_lwc_content_handler
            && !llcf->rollback))
    {
        return NGX_DECLINED;
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_lwc_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->handler = (r->content_handler == ngx_http_lwc_content_handler)
                   ? ngx_http_lwc_of_location(r) : r->content_handler;
    ngx_http_set_ctx(r, ctx, ngx_http_lwc_module);

    r->content_handler = ngx_http_lwc_content_handler;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_lwc_content_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    /*
     * The body is read here, because H has no connection to read from. It is
     * put where handlers of any kind look for it: Perl's want one buffer, or a
     * file with a name.
     */

    if (!r->request_body_in_file_only) {
        r->request_body_in_single_buf = 1;
        r->request_body_in_persistent_file = 1;
        r->request_body_in_clean_file = 1;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_lwc_run);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_lwc_run(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_handler_pt   handler;
    ngx_http_lwc_reply_t  reply;

    handler = ngx_http_lwc_wrapped(r);

    rc = handler ? ngx_http_lwc_call(r, handler, &reply) : NGX_ERROR;

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, (rc == NGX_ERROR)
                                     ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc);
        return;
    }

    ngx_http_lwc_replay(r, &reply);
}


/*
 * A cloned subrequest comes here without having passed the precontent phase: it
 * has the handler of its location, and its parent's only where that has none.
 */

static ngx_http_handler_pt
ngx_http_lwc_wrapped(ngx_http_request_t *r)
{
    ngx_http_lwc_ctx_t       *ctx;
    ngx_http_request_t       *pr;
    ngx_http_lwc_loc_conf_t  *llcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_lwc_module);
    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lwc_module);

    if (ctx == NULL && llcf->handler) {
        return llcf->handler;
    }

    for (pr = r; ctx == NULL && pr->parent; /* void */ ) {
        pr = pr->parent;
        ctx = ngx_http_get_module_ctx(pr, ngx_http_lwc_module);
    }

    if (ctx && ctx->handler) {
        return ctx->handler;
    }

    ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                  "lwc_rollback: no handler to run");

    return NULL;
}


/* "if" and "limit_except" take over the handler that their location has */

static ngx_http_handler_pt
ngx_http_lwc_of_location(ngx_http_request_t *r)
{
    ngx_http_lwc_loc_conf_t  *llcf;

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_lwc_module);

    while (llcf->handler == NULL && llcf->outer) {
        llcf = llcf->outer;
    }

    return llcf->handler;
}


static void *
ngx_http_lwc_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_lwc_main_conf_t  *lmcf;

    lmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lwc_main_conf_t));
    if (lmcf == NULL) {
        return NULL;
    }

    lmcf->arena = NGX_CONF_UNSET_SIZE;

    if (ngx_array_init(&lmcf->protected, cf->pool, 16,
                       sizeof(ngx_http_lwc_loc_conf_t *))
        != NGX_OK)
    {
        return NULL;
    }

    /* before any location is read */

    if (ngx_http_lwc_refuse_watch(cf) != NGX_OK) {
        return NULL;
    }

    return lmcf;
}


static char *
ngx_http_lwc_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_lwc_main_conf_t *lmcf = conf;

    ngx_conf_init_size_value(lmcf->arena, 1024 * 1024);

    if (lmcf->arena < NGX_HTTP_LWC_ARENA_MIN
        || lmcf->arena > NGX_HTTP_LWC_ARENA_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"lwc_arena\" must be between 16k and 1g");
        return NGX_CONF_ERROR;
    }

    lmcf->arena = ngx_align(lmcf->arena, ngx_pagesize);

    return NGX_CONF_OK;
}


static void *
ngx_http_lwc_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_lwc_loc_conf_t  *llcf;

    llcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_lwc_loc_conf_t));
    if (llcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     llcf->pass = { 0, NULL };
     *     llcf->clcf = NULL;
     *     llcf->handler = NULL;
     *     llcf->outer = NULL;
     */

    llcf->rollback = NGX_CONF_UNSET;
    llcf->timeout = NGX_CONF_UNSET_MSEC;

    return llcf;
}


static char *
ngx_http_lwc_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_lwc_loc_conf_t *prev = parent;
    ngx_http_lwc_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_lwc_loc_conf_t   **llcf;
    ngx_http_lwc_main_conf_t   *lmcf;

    ngx_conf_merge_value(conf->rollback, prev->rollback, 0);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, 0);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname) {
        conf->outer = prev;

        if (conf->pass.len == 0) {
            conf->pass = prev->pass;
        }
    }

    if (!conf->rollback) {
        return NGX_CONF_OK;
    }

    if (conf->pass.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in location \"%V\" cannot work with "
                           "\"lwc_rollback on\", because it goes on after it "
                           "has returned; say \"lwc_rollback off\" there",
                           &conf->pass, &clcf->name);
        return NGX_CONF_ERROR;
    }

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_lwc_module);

    llcf = ngx_array_push(&lmcf->protected);
    if (llcf == NULL) {
        return NGX_CONF_ERROR;
    }

    *llcf = conf;
    conf->clcf = clcf;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_lwc_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *h;
    ngx_http_lwc_loc_conf_t   **llcf;
    ngx_http_lwc_main_conf_t   *lmcf;
    ngx_http_core_main_conf_t  *cmcf;

    ngx_http_lwc_refuse_done();

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_lwc_module);

    if (lmcf->protected.nelts == 0) {
        return NGX_OK;
    }

    /*
     * The location's own handler is wrapped, and not only what a request has:
     * a cloned subrequest takes it from there after all phases.
     */

    llcf = lmcf->protected.elts;

    for (i = 0; i < lmcf->protected.nelts; i++) {

        if (llcf[i]->clcf->handler) {
            llcf[i]->handler = llcf[i]->clcf->handler;
            llcf[i]->clcf->handler = ngx_http_lwc_content_handler;
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /*
     * Handlers of a phase run from the last to the first. This one is put
     * first, so that none after it can install a content handler.
     */

    handlers = &cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers;

    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    h = handlers->elts;

    ngx_memmove(&h[1], &h[0],
                (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));

    h[0] = ngx_http_lwc_precontent_handler;

    /*
     * Here, because the master runs this as the user who started it, before
     * any worker gives up privileges: /dev/lwc is opened once, and workers
     * inherit it. Also "nginx -t" learns so what a start would meet. But "nginx -s"
     * only sends a signal, whatever has become of the device.
     */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    return ngx_http_lwc_available(cf->log);
}


static ngx_int_t
ngx_http_lwc_init_process(ngx_cycle_t *cycle)
{
    ngx_http_lwc_main_conf_t  *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_lwc_module);

    if (lmcf == NULL || lmcf->protected.nelts == 0) {
        return NGX_OK;
    }

    /* the cache manager and loader serve no requests */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    return ngx_http_lwc_init(cycle, lmcf->arena);
}


static void
ngx_http_lwc_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_lwc_random_exit();
}
