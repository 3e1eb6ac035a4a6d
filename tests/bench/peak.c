/* Runs a command and prints its peak memory in KiB as the last line of standard output. */
#include <stdio.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	struct rusage used;
	int status;
	pid_t pid;

	if (argc < 2 || posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ))
		return 2;
	if (wait4(pid, &status, 0, &used) != pid)
		return 2;
	printf("\n%ld\n", used.ru_maxrss);
	return 0;
}
