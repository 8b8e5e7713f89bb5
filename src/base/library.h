/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * Shared libraries that are loaded when they are first wanted. A library that few runs need should
 * not cost each of them its memory and its start-up time, least of all one that brings ten others.
 *
 * A library's calls are a list, the one place where each is named:
 *
 *   #define LIBFOO_CALLS(X) X(foo_open) X(foo_close)
 *   struct libfoo { LIBFOO_CALLS(LIBRARY_MEMBER) };
 *   extern struct libfoo libfoo;
 *
 * and in one source file:
 *
 *   #define SYMBOL(call) {#call, offsetof(struct libfoo, call)},
 *   struct libfoo libfoo;
 *   static const struct library_symbol symbols[] = {LIBFOO_CALLS(SYMBOL) {NULL, 0}};
 *   static struct library library = {"libfoo.so.0", "libfoo0", symbols, &libfoo};
 *
 * after library_load(&library, err) libfoo.foo_open() has the type that the library's own header gives it.
 */
struct library_symbol {
	const char *name; /* NULL: the end of the list */
	size_t offset;	  /* of the pointer in the table */
};

struct library {
	const char *name;    /* with the ABI's number: "libfoo.so.0" */
	const char *package; /* Debian's, for the error message */
	const struct library_symbol *symbols;
	void *table; /* of the pointers */
	bool loaded; /* library_load()'s */
};

#define LIBRARY_MEMBER(call) __typeof__ (&(call))(call);

/**
 * Loads a library that is not loaded yet, and fills the table's pointers. It stays loaded. Not for
 * several threads at once. -ENOENT: it cannot be loaded, or lacks a symbol; the table is not to be
 * used then.
 */
int library_load(struct library *library, struct error *err);

#endif
