/* SPDX-License-Identifier: MIT */
/*
 * What one would do without contexts for a handler's leftovers not to reach the next
 * request: "peer fork" runs it in a child of the worker, which answers the client
 * and ends; "peer restart" lets the worker end after it, for the master to replace.
 * Both do the least that works, to be compared with "lwc_rollback on". This must
 * never be used for more: a client that reads slowly gets half an answer.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <sys/wait.h>


#define NGX_HTTP_PEER_NONE     0
#define NGX_HTTP_PEER_FORK     1
#define NGX_HTTP_PEER_RESTART  2


typedef struct {
    ngx_uint_t           peer;
} ngx_http_peer_loc_conf_t;


typedef struct {
    ngx_http_handler_pt  handler;
} ngx_http_peer_ctx_t;


static ngx_int_t ngx_http_peer_precontent_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_peer_fork(ngx_http_request_t *r);
static ngx_int_t ngx_http_peer_restart(ngx_http_request_t *r);
static ngx_int_t ngx_http_peer_handle(ngx_http_request_t *r);
static void *ngx_http_peer_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_peer_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_peer_postconfiguration(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_http_peers[] = {
    { ngx_string("none"), NGX_HTTP_PEER_NONE },
    { ngx_string("fork"), NGX_HTTP_PEER_FORK },
    { ngx_string("restart"), NGX_HTTP_PEER_RESTART },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_peer_commands[] = {

    { ngx_string("peer"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_peer_loc_conf_t, peer),
      &ngx_http_peers },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_peer_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_peer_postconfiguration,       /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_peer_create_loc_conf,         /* create location configuration */
    ngx_http_peer_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_peer_module = {
    NGX_MODULE_V1,
    &ngx_http_peer_module_ctx,             /* module context */
    ngx_http_peer_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_peer_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_peer_ctx_t       *ctx;
    ngx_http_peer_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_peer_module);

    if (plcf->peer == NGX_HTTP_PEER_NONE
        || r->content_handler == NULL
        || ngx_http_get_module_ctx(r, ngx_http_peer_module))
    {
        return NGX_DECLINED;
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_peer_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->handler = r->content_handler;
    ngx_http_set_ctx(r, ctx, ngx_http_peer_module);

    r->content_handler = (plcf->peer == NGX_HTTP_PEER_FORK)
                         ? ngx_http_peer_fork : ngx_http_peer_restart;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_peer_fork(ngx_http_request_t *r)
{
    pid_t  pid;

    pid = fork();

    if (pid == -1) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, ngx_errno,
                      "fork() failed");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (pid == 0) {

        /* the connection is the worker's to close or to keep */

        r->main->count += 2;

        ngx_http_finalize_request(r, ngx_http_peer_handle(r));

        _exit(0);
    }

    /* if the worker's handler of SIGCHLD was first, it has ended as well */

    while (waitpid(pid, NULL, 0) == -1 && ngx_errno == NGX_EINTR) {
        /* void */
    }

    r->header_sent = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_peer_restart(ngx_http_request_t *r)
{
    r->keepalive = 0;
    ngx_quit = 1;

    return ngx_http_peer_handle(r);
}


static ngx_int_t
ngx_http_peer_handle(ngx_http_request_t *r)
{
    ngx_http_peer_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_peer_module);

    return ctx->handler(r);
}


static void *
ngx_http_peer_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_peer_loc_conf_t  *plcf;

    plcf = ngx_palloc(cf->pool, sizeof(ngx_http_peer_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    plcf->peer = NGX_CONF_UNSET_UINT;

    return plcf;
}


static char *
ngx_http_peer_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_peer_loc_conf_t *prev = parent;
    ngx_http_peer_loc_conf_t *conf = child;

    ngx_conf_merge_uint_value(conf->peer, prev->peer, NGX_HTTP_PEER_NONE);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_peer_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_peer_precontent_handler;

    return NGX_OK;
}
