/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_NAMED_OPTIONS_H
#define BASE_NAMED_OPTIONS_H

#include "base/options.h"

/*
 * The options of something that has a name: id=NAME among them, or one made of its kind and number.
 * Each message about it begins with the option that it was given in, and the name.
 */
struct named_options {
	struct options opts;
	const char *option; /* "--net" */
	const char *id;	    /* in opts, or made */
	char made[16];
	char what[64]; /* "--net ID", as options_check() takes it */
};

/**
 * Splits text; kind and index ("net", 0) make the name where there is no id=. named_options_end()
 * must be called also after an error.
 */
int named_options_parse(struct named_options *n, const char *option, const char *kind,
			unsigned index, const char *text, struct error *err);

/**
 * Frees, and returns ret; if that is an error, makes err "--net ID: …", also where a part has put
 * the id there, or the whole, already.
 */
int named_options_end(struct named_options *n, int ret, struct error *err);

#endif
