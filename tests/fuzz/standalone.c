/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays inputs without libFuzzer: each argument is a file, or a folder of files. So what fuzzing
 * found once stays found with any compiler.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size;
	int ret = -1;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) {
		perror(path);
		goto out;
	}
	data = malloc((size_t)size + 1);
	if (data && fread(data, 1, (size_t)size, f) == (size_t)size) {
		LLVMFuzzerTestOneInput(data, (size_t)size);
		ret = 0;
	} else {
		fprintf(stderr, "%s: cannot read\n", path);
	}
	free(data);
out:
	if (f)
		fclose(f);
	return ret;
}

static int replay(const char *path, unsigned *count)
{
	struct dirent **names;
	struct stat st;
	int ret = 0, n;

	if (!stat(path, &st) && !S_ISDIR(st.st_mode)) {
		++*count;
		return replay_file(path);
	}
	n = scandir(path, &names, NULL, alphasort);
	if (n < 0) {
		perror(path);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && replay(file, count))
			ret = -1;
		free(names[i]);
	}
	free(names);
	return ret;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	int ret = 0;

	for (int i = 1; i < argc; i++) {
		if (replay(argv[i], &count))
			ret = 1;
	}
	printf("%u inputs\n", count);
	return ret;
}
