/* SPDX-License-Identifier: MIT */
/*
 * "visitors;" greets each visitor and repeats the secret that came with the
 * request. It has a bug of an everyday kind: the buffer is static, and only as
 * much is overwritten as the new secret is long. So a visitor with a short secret
 * is shown the end of the last visitor's. It must never be mended: the demo
 * shows what lwc_rollback makes of it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static ngx_int_t ngx_http_visitors_handler(ngx_http_request_t *r);
static char *ngx_http_visitors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#define NGX_HTTP_VISITORS_SECRET  64


/* in .bss: zero when a worker starts */

static u_char  ngx_http_visitors_secret[NGX_HTTP_VISITORS_SECRET];


static ngx_command_t  ngx_http_visitors_commands[] = {

    { ngx_string("visitors"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_visitors,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_visitors_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_visitors_module = {
    NGX_MODULE_V1,
    &ngx_http_visitors_module_ctx,         /* module context */
    ngx_http_visitors_commands,            /* module directives */
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
ngx_http_visitors_handler(ngx_http_request_t *r)
{
    u_char       *p;
    size_t        size;
    ngx_int_t     rc;
    ngx_str_t     secret;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_arg(r, (u_char *) "secret", 6, &secret) != NGX_OK
        || secret.len >= NGX_HTTP_VISITORS_SECRET)
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    ngx_memcpy(ngx_http_visitors_secret, secret.data, secret.len);

    size = sizeof("Hello! Your secret is safe with us: \n")
           + NGX_HTTP_VISITORS_SECRET;

    p = ngx_pnalloc(r->pool, size);
    b = ngx_calloc_buf(r->pool);

    if (p == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = p;
    b->last = ngx_snprintf(p, size, "Hello! Your secret is safe with us: %s\n",
                           ngx_http_visitors_secret);
    b->memory = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "text/plain");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static char *
ngx_http_visitors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_visitors_handler;

    return NGX_CONF_OK;
}
