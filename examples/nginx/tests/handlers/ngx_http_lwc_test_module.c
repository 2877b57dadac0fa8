/* SPDX-License-Identifier: MIT */
/*
 * "lwc_test NAME;" installs the test handler of that name in a location. Here is
 * what makes them a module; what they do is in the other files.
 */

#include "ngx_http_lwc_test.h"


static char *ngx_http_lwc_test(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_lwc_test_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_lwc_test_init_zone(ngx_shm_zone_t *zone, void *data);


ngx_shm_zone_t  *ngx_http_lwc_test_zone;


static ngx_command_t  ngx_http_lwc_test_commands[] = {

    { ngx_string("lwc_test"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_lwc_test,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_lwc_test_module_ctx = {
    ngx_http_lwc_test_preconfiguration,    /* preconfiguration */
    ngx_http_lwc_test_filter_init,         /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_lwc_test_module = {
    NGX_MODULE_V1,
    &ngx_http_lwc_test_module_ctx,         /* module context */
    ngx_http_lwc_test_commands,            /* module directives */
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


static char *
ngx_http_lwc_test(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_lwc_test_t       *t;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_http_lwc_test_t  *all[] = {
        ngx_http_lwc_test_answers,
        ngx_http_lwc_test_leaves,
        ngx_http_lwc_test_processes,
        ngx_http_lwc_test_crashes,
        ngx_http_lwc_test_hostiles
    };

    value = cf->args->elts;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {

        for (t = all[i]; t->name.len; t++) {

            if (t->name.len == value[1].len
                && ngx_strcmp(t->name.data, value[1].data) == 0)
            {
                clcf = ngx_http_conf_get_module_loc_conf(cf,
                                                         ngx_http_core_module);
                clcf->handler = t->handler;

                return NGX_CONF_OK;
            }
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no test handler \"%V\"",
                       &value[1]);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_lwc_test_preconfiguration(ngx_conf_t *cf)
{
    ngx_str_t  name = ngx_string("lwc_test");

    ngx_http_lwc_test_zone = ngx_shared_memory_add(cf, &name, 65536,
                                                   &ngx_http_lwc_test_module);
    if (ngx_http_lwc_test_zone == NULL) {
        return NGX_ERROR;
    }

    ngx_http_lwc_test_zone->init = ngx_http_lwc_test_init_zone;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_test_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    zone->data = ngx_slab_calloc(shpool, sizeof(ngx_http_lwc_test_shared_t));

    return zone->data ? NGX_OK : NGX_ERROR;
}


ngx_http_lwc_test_shared_t *
ngx_http_lwc_test_shared(void)
{
    return ngx_http_lwc_test_zone->data;
}


ngx_str_t
ngx_http_lwc_test_arg_text(ngx_http_request_t *r, const char *name)
{
    ngx_str_t  value;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) != NGX_OK) {
        ngx_str_null(&value);
    }

    return value;
}


ngx_int_t
ngx_http_lwc_test_arg(ngx_http_request_t *r, const char *name, ngx_int_t value)
{
    ngx_int_t  n;
    ngx_str_t  text;

    text = ngx_http_lwc_test_arg_text(r, name);

    if (text.len > 1 && text.data[0] == '-') {
        n = ngx_atoi(text.data + 1, text.len - 1);
        return (n == NGX_ERROR) ? value : -n;
    }

    n = ngx_atoi(text.data, text.len);

    return (n == NGX_ERROR) ? value : n;
}


ngx_int_t
ngx_http_lwc_test_say(ngx_http_request_t *r, const char *fmt, ...)
{
    va_list       args;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    b = ngx_create_temp_buf(r->pool, 4096);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    va_start(args, fmt);
    b->last = ngx_vslprintf(b->last, b->end, fmt, args);
    va_end(args);

    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    if (r->headers_out.content_type.len == 0) {
        ngx_str_set(&r->headers_out.content_type, "text/plain");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}
