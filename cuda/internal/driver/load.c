//go:build cuda

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include "load.h"

// Results of the driver API: CUDA_ERROR_NOT_INITIALIZED and CUDA_ERROR_NOT_SUPPORTED.
enum { not_initialized = 3, not_supported = 801 };

int offhost_cu_not_initialized(void) { return not_initialized; }
static int absent(void) { return not_supported; }
static int success(void) { return 0; }

#define SYMBOL(name) extern void *offhost_cu_slot_##name;
#include "symbols.h"
#undef SYMBOL

static const struct {
	const char *name;
	void **slot;
} table[] = {
#define SYMBOL(name) {#name, &offhost_cu_slot_##name},
#include "symbols.h"
#undef SYMBOL
};

// Before any Go code runs: a package's init calls cuInit.
__attribute__((constructor)) static void before(void) { offhost_cu_slot_cuInit = (void *)success; }

const char *offhost_cu_load(const char *path) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return dlerror();
	// One that lacks this is no driver; nothing is changed then.
	if (dlsym(library, "cuInit") == NULL) {
		dlclose(library);
		return "it has no cuInit: it is not a CUDA driver";
	}
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		void *f = dlsym(library, table[i].name);
		*table[i].slot = f == NULL ? (void *)absent : f;
	}
	return NULL;
}

int offhost_cu_has(const char *name) {
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const char *a = table[i].name, *b = name;
		while (*a != 0 && *a == *b)
			a++, b++;
		if (*a == *b)
			return *table[i].slot != (void *)absent && *table[i].slot != (void *)offhost_cu_not_initialized;
	}
	return 0;
}
