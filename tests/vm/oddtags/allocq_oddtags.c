// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Tags that the kernel's own code rarely has, made for real: names longer than the ioctl's 63 bytes, two that
 * look alike once trimmed, several on one line, a counter below zero, one that is marked inaccurate, a path
 * with odd characters. It holds a few small allocations while it is loaded and does nothing else.
 */
#include <linux/alloc_tag.h>
#include <linux/module.h>
#include <linux/slab.h>

#define LONG(prefix) prefix##_and_from_here_on_sixty_three_bytes_that_are_the_same_in_both_names
/* two tags on one line */
#define PAIR(one, two) do { (one) = kzalloc(128, GFP_KERNEL); (two) = kzalloc(256, GFP_KERNEL); } while (0)

static void *held[6];

static noinline void *LONG(the_first_long_name)(void)
{
	return kzalloc(1000, GFP_KERNEL);
}

static noinline void *LONG(another_long_name)(void)
{
	return kzalloc(2000, GFP_KERNEL);
}

static void *in_a_long_path(void);
static void *in_another_long_path(void);

static noinline void below_zero(void)
{
	DEFINE_ALLOC_TAG(tag);

	this_cpu_sub(tag.counters->bytes, 4096);
	this_cpu_dec(tag.counters->calls);
}

static noinline void inaccurate(void)
{
	DEFINE_ALLOC_TAG(tag);

	this_cpu_add(tag.counters->bytes, 12345);
	this_cpu_add(tag.counters->calls, 3);
	alloc_tag_set_inaccurate(&tag);
}

static int __init oddtags_init(void)
{
	held[0] = LONG(the_first_long_name)();
	held[1] = LONG(another_long_name)();
	PAIR(held[2], held[3]);
	held[4] = in_a_long_path();
	held[5] = in_another_long_path();
	below_zero();
	inaccurate();
	return 0;
}

static void __exit oddtags_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(held); i++)
		kfree(held[i]);
}

module_init(oddtags_init);
module_exit(oddtags_exit);
MODULE_DESCRIPTION("Allocation tags with odd names and counters, for allocq's tests");
MODULE_LICENSE("Dual MIT/GPL");

/* From here on the compiler is told of other files: paths as out-of-tree modules can have them. */
#line 11 "/home/someone/first/a directory [with] func:odd words/that is longer than/the ioctl/hands out/oddtags.c"
static noinline void *in_a_long_path(void)
{
	return kzalloc(500, GFP_KERNEL);
}

#line 11 "/home/someone/other/a directory [with] func:odd words/that is longer than/the ioctl/hands out/oddtags.c"
static noinline void *in_another_long_path(void)
{
	return kzalloc(250, GFP_KERNEL);
}
