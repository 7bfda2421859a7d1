//go:build cuda

// A jump for each symbol of symbols.h, through a slot that Load fills. A jump leaves all
// arguments as they are, so that no signature is needed. Hidden, so that the names neither
// get in the way of the library's own nor are exported.

#define INITIAL(name) offhost_cu_not_initialized

#if defined(__x86_64__)
#define GO(name) jmp *offhost_cu_slot_##name(%rip)
#elif defined(__aarch64__)
// x16 is the procedure call standard's register for this.
#define GO(name) adrp x16, offhost_cu_slot_##name; \
	ldr x16, [x16, :lo12:offhost_cu_slot_##name]; \
	br x16
#else
#error "want amd64 or arm64"
#endif

#define SYMBOL(name) \
	.text; .balign 16; \
	.globl name; .hidden name; .type name, %function; \
	name: GO(name); \
	.size name, . - name; \
	.data; .balign 8; \
	.globl offhost_cu_slot_##name; .hidden offhost_cu_slot_##name; \
	.type offhost_cu_slot_##name, %object; .size offhost_cu_slot_##name, 8; \
	offhost_cu_slot_##name: .quad INITIAL(name);

#include "symbols.h"

	.section .note.GNU-stack,"",%progbits
