/*
 * What a kernel keeps its allocation tags in, with its names, compiled with debug info: vmcores.py
 * makes a vmlinux of it and a dump of its memory as it begins. The macros choose another kernel:
 *
 * OLD              Linux 6.12: one timekeeper, VmallocUsed in a variable, no content id
 * NO_OPTION        without CONFIG_MEM_ALLOC_PROFILING
 * NEVER            booted with sysctl.vm.mem_profiling=never
 * OFF              profiling turned off
 * ONE_CPU          without CONFIG_SMP
 * RENAMED          a member has another name
 * GROWN            tags and counters have members that nobody knows
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;
typedef struct { unsigned long bits[1]; } nodemask_t;

struct list_head { struct list_head *next, *prev; };
struct xarray { u32 xa_lock, xa_flags; void *xa_head; };
struct xa_node {
	u8 shift, offset, count, nr_values;
	struct xa_node *parent;
	struct xarray *array;
	struct list_head private_list;
	void *slots[64];
};
struct idr { struct xarray idr_rt; u32 idr_base, idr_next; };

struct codetag {
	u32 flags, lineno;
	const char *modname, *function;
#ifdef RENAMED
	const char *path;
#define filename path
#else
	const char *filename;
#endif
};
struct alloc_tag_counters {
#ifdef GROWN
	u64 pages;
#endif
	u64 bytes, calls;
};
struct alloc_tag {
	struct codetag ct;
	struct alloc_tag_counters *counters;
#ifdef GROWN
	u64 site, more[3];
#endif
} __attribute__((aligned(8)));
struct codetag_range { struct codetag *start, *stop; };
struct module;
struct codetag_module { struct module *mod; struct codetag_range range; };
struct codetag_type_desc { const char *section; unsigned long tag_size; };
struct codetag_type {
	struct list_head link;
	u32 count;
	struct idr mod_idr;
	struct codetag_type_desc desc;
#ifndef OLD
	unsigned long next_mod_seq, content_id;
#endif
};

struct cpumask { unsigned long bits[1]; };
enum { CPUS = 4, AREA = 8192 };
/* Each CPU's area holds the same counters. */
static u8 areas[CPUS][AREA] __attribute__((aligned(4096)));

#ifndef ONE_CPU
u32 nr_cpu_ids = CPUS;
/* CPU 3 is not possible, although something is in its area. */
struct cpumask __cpu_possible_mask = { { 0x7 } };
#define AREA_OF(cpu) ((unsigned long)&areas[cpu] - 0x1000)
unsigned long __per_cpu_offset[64] = { AREA_OF(0), AREA_OF(1), AREA_OF(2), AREA_OF(3) };
#define PER_CPU(at) ((struct alloc_tag_counters *)(0x1000 + (at)))
#else
#define PER_CPU(at) ((struct alloc_tag_counters *)(areas[0] + (at)))
#endif

#define FILE_A "mm/slub.c"
#define FILE_B "fs/xfs/xfs_buf.c"
#define TAG(file, line, mod, func, bad, at) \
	{ .ct = { .flags = bad, .lineno = line, .modname = mod, .function = func, .filename = file }, \
	  .counters = PER_CPU(at) }
static struct alloc_tag built_in[] = {
	TAG(FILE_A, 3347, 0, "alloc_slab_page", 1, 0),
	TAG(FILE_A, 12, 0, "kept_on_all_cpus", 0, 64),
	TAG("kernel/fork.c", 4000000000u, 0, "below_zero", 0, 128),
	TAG("kernel/fork.c", 1, 0, "nothing", 0, 6000),
};
static struct alloc_tag of_xfs[] = {
	TAG(FILE_B, 7, "xfs", "xfs_buf_alloc", 0, 192),
	TAG(FILE_B, 7, "xfs", "xfs_buf_alloc", 0, 7000),
};
static struct alloc_tag of_odd[] = {
	TAG("/home/a directory [with] func:odd words/odd.c", 11, "oddtags", "in_a_long_path", 0, 256),
};

#define RANGE(tags) { 0, { &tags[0].ct, (struct codetag *)((u8 *)&tags[0].ct + sizeof(tags)) } }
static struct codetag_module modules[] = { RANGE(built_in), RANGE(of_xfs), RANGE(of_odd) };
/* Numbers 0, 2 and 65. */
static struct xa_node leaves[2] = {
	{ .slots = { [0] = &modules[0], [2] = &modules[1] } },
	{ .slots = { [1] = &modules[2] } },
};
static struct xa_node root = {
	.shift = 6,
	.slots = { (void *)((u8 *)&leaves[0] + 2), (void *)((u8 *)&leaves[1] + 2) },
};
static struct codetag_type type = {
	.count = 7,
	.mod_idr = { .idr_rt = { .xa_head = (void *)((u8 *)&root + 2) } },
	.desc = { "alloc_tags", sizeof(struct alloc_tag) },
#ifndef OLD
	.content_id = 42,
#endif
};
#ifndef NO_OPTION
#ifdef NEVER
struct codetag_type *alloc_tag_cttype;
#else
struct codetag_type *alloc_tag_cttype = &type;
#endif
#else
struct codetag_type *code_tags = &type;
#endif

struct static_key { atomic_t enabled; unsigned long type; };
struct static_key_true { struct static_key key; };
#ifdef OFF
struct static_key_true mem_alloc_profiling_key = { { { 0 }, 3 } };
#else
struct static_key_true mem_alloc_profiling_key = { { { 1 }, 3 } };
#endif

struct new_utsname { char sysname[65], nodename[65], release[65]; };
struct uts_namespace { struct new_utsname name; };
struct uts_namespace init_uts_ns = { { "Linux", "crashed", "7.9.9-test" } };
u8 sysctl_bootid[16] = { 0x28, 0x74, 0x9e, 0xbe, 3, 0x95, 0x49, 0xaa, 0xad, 0xad, 0x5f, 0xaa, 0xb6, 0xfc, 0xf9, 0x0a };

struct tk_read_base { void *clock; u32 mult, shift; u64 xtime_nsec; };
struct timekeeper { struct tk_read_base tkr_mono; u64 xtime_sec; };
#ifdef OLD
static struct { u64 seq; struct timekeeper timekeeper; } tk_core = {
#define TIMEKEEPER tk_core
#else
struct tk_data { u64 seq; struct timekeeper timekeeper; };
static struct tk_data timekeeper_data[1] = { {
#define TIMEKEEPER timekeeper_data
#endif
	.timekeeper = { { .shift = 8, .xtime_nsec = 500000000ull << 8 }, .xtime_sec = 1790000000 },
#ifdef OLD
};
#else
} };
#endif

enum zone_stat_item { NR_FREE_PAGES, NR_VM_ZONE_STAT_ITEMS };
enum node_stat_item {
	NR_ACTIVE_FILE, NR_INACTIVE_FILE, NR_SLAB_RECLAIMABLE_B, NR_SLAB_UNRECLAIMABLE_B,
	NR_KERNEL_MISC_RECLAIMABLE, NR_ANON_MAPPED, NR_FILE_MAPPED, NR_FILE_PAGES, NR_SHMEM, NR_SWAPCACHE,
	NR_KERNEL_STACK_KB, NR_PAGETABLE, NR_SECONDARY_PAGETABLE,
#ifndef OLD
	NR_VMALLOC,
#endif
	NR_VM_NODE_STAT_ITEMS
};
enum zone_watermarks { WMARK_MIN, WMARK_LOW, WMARK_HIGH, NR_WMARK };
enum node_states { N_POSSIBLE, N_ONLINE, NR_NODE_STATES };
struct per_cpu_pages { int lock, count; };
struct zone {
	unsigned long _watermark[NR_WMARK], watermark_boost;
	struct per_cpu_pages *per_cpu_pageset;
	unsigned long present_pages;
};
struct pglist_data { struct zone node_zones[2]; };
atomic_long_t vm_zone_stat[NR_VM_ZONE_STAT_ITEMS] = { { 1000 } };
atomic_long_t vm_node_stat[NR_VM_NODE_STAT_ITEMS] = {
	[NR_ACTIVE_FILE] = { 100 }, [NR_INACTIVE_FILE] = { 60 }, [NR_SLAB_RECLAIMABLE_B] = { 40 },
	[NR_SLAB_UNRECLAIMABLE_B] = { 30 }, [NR_KERNEL_MISC_RECLAIMABLE] = { 10 }, [NR_ANON_MAPPED] = { 70 },
	[NR_FILE_MAPPED] = { 5 }, [NR_FILE_PAGES] = { 200 }, [NR_SHMEM] = { 20 }, [NR_SWAPCACHE] = { 3 },
	[NR_KERNEL_STACK_KB] = { 64 }, [NR_PAGETABLE] = { 9 }, [NR_SECONDARY_PAGETABLE] = { -2 },
#ifndef OLD
	[NR_VMALLOC] = { 11 },
#endif
};
#ifdef OLD
static atomic_long_t nr_vmalloc_pages = { 11 };
#define VMALLOC nr_vmalloc_pages
#else
#define VMALLOC vm_node_stat
#endif
atomic_long_t _totalram_pages = { 4096 };
unsigned long totalreserve_pages = 50;
nodemask_t node_states[NR_NODE_STATES] = { { { 3 } }, { { 1 } } };
static struct pglist_data node = { { { { 10, 20, 30 }, 4, (struct per_cpu_pages *)PER_CPU(512), 100 }, { .present_pages = 0 } } };
struct pglist_data *node_data[64] = { &node };
u32 pcpu_nr_units = 4;
unsigned long pcpu_nr_populated = 8;
struct inode;
struct super_block { u64 s_dev; struct list_head s_inodes; };
struct address_space { u64 host; unsigned long nrpages; };
struct inode { u64 i_ino; struct address_space *i_mapping; struct list_head i_sb_list; };
static struct address_space devices[] = { { 0, 6 }, { 0, 7 } };
static struct super_block block_devices;
static struct inode inodes[] = {
	{ 1, &devices[0], { &inodes[1].i_sb_list, 0 } },
	{ 2, &devices[1], { &block_devices.s_inodes, 0 } },
};
static struct super_block block_devices = { 0, { &inodes[0].i_sb_list, 0 } };
struct super_block *blockdev_superblock = &block_devices;
struct hstate { u32 order; unsigned long nr_huge_pages; };
u32 hugetlb_max_hstate = 1;
struct hstate hstates[2] = { { 9, 2 } };

char swapper_pg_dir[4096] __attribute__((aligned(4096)));

/* Nothing runs; what is only here keeps the compiler from leaving things out. */
void *_stext(int at)
{
	void *all[] = { &areas, &TIMEKEEPER, &VMALLOC, &blockdev_superblock };

	return all[at & 3];
}
