/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of viaduct-switch, and the ports' settings in it. */
#include "fuzz.h"

#include "../../cmd/switch_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct switch_config config;
	struct sw_options options;
	struct error err = {0};
	int ret;

	sw_options_init(&options);
	ret = switch_config_parse("file", (const char *)data, size, &options, &config, &err);
	if (ret)
		fuzz_assert(ret < 0 && err.code && strlen(err.text) < sizeof(err.text));
	for (unsigned i = 0; !ret && i < config.nports; i++) {
		struct sw_port_config settings = {0};
		const struct option_key *keys[] = {sw_port_keys, NULL, NULL};
		const struct port_ops *type;
		struct options opts;

		err = (struct error){0};
		if (!options_parse(&opts, config.ports[i], &err) && options_get(&opts, "type") &&
		    (type = port_find(options_get(&opts, "type")))) {
			keys[1] = type->keys;
			options_check(&opts, keys, "--port", &err);
		}
		if (!err.code && !sw_port_config_parse(&settings, &opts, &err)) {
			fuzz_assert(settings.nmacs <= SW_MACS_MAX);
			fuzz_assert(settings.vlan_mode != SW_VLAN_ACCESS ||
				    (settings.access_vid >= 1 && settings.access_vid <= 4094));
			fuzz_assert(!(settings.trunk[0] & 1));
		}
		options_free(&opts);
	}
	fuzz_assert(options.nworkers >= 1 && options.nworkers <= SW_WORKERS_MAX);
	switch_config_free(&config);
	return 0;
}
