#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void down(int s) { exit(0); }
static void reap(int s) { while (waitpid(-1, 0, WNOHANG) > 0); }
/* kubeadm's health check of an upgrade runs it with -v, which says the version and ends. */
int main(int count, char **words) { if (count > 1) return puts("pause.c lab") < 0; signal(SIGINT, down); signal(SIGTERM, down); signal(SIGCHLD, reap); for (;;) pause(); }
