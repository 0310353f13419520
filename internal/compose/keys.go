package compose

import (
	"cmp"
	"strings"
)

// verdict is what becomes of a key.
type verdict int

const (
	refuse verdict = iota // the zero verdict
	take                  // it is read, and what is below it has rows of its own
	whole                 // it is read, with all that is below it
	holds                 // every box is so
	leave                 // it is left out, and that is told
)

// row is one row of the table. say is why it is refused or left out.
type row struct {
	verdict verdict
	say     string
}

// table says what becomes of each key of a Compose file. What is not in it is
// refused. * is a name that the file chooses.
func table() map[string]row {
	rows := map[string]row{
		"version":  {holds, ""}, // obsolete in the format itself
		"name":     {take, ""},
		"services": {take, ""}, "services.*": {take, ""},
		"networks": {take, ""}, "networks.*": {take, ""}, "networks.*.internal": {holds, ""},
		"networks.*.external": {refuse, "the only network is the box's own; take the line out"},
		"volumes":             {take, ""},
		"volumes.*":           {take, ""},
		"secrets":             {refuse, "a file of the host that is kept from others; whatever is in a policy, everybody reads: have the app fetch it from where it is kept"},
		"configs":             {refuse, "a file of the host; put it into the image"},
		"include":             {refuse, "another file; put its services into this one"},
		"models":              {refuse, "a box runs models by itself: see models in docs/policy.md"},
	}
	for key, r := range volumeKeys() {
		rows["volumes.*."+key] = r
	}
	for key := range parts("networks.*.", "name driver driver_opts labels ipam attachable enable_ipv4 enable_ipv6") {
		rows[key] = row{leave, "a box has one network, with every service in it"}
	}
	for key, r := range serviceKeys() {
		rows["services.*."+key] = r
	}
	return rows
}

func volumeKeys() map[string]row {
	return map[string]row{
		"name": {leave, "nothing outlives the box, so that nothing needs a name"}, "labels": {leave, unread},
		"driver": {refuse, "a volume is memory of the box; take the line out"}, "driver_opts": {refuse, "a volume is memory of the box; take the lines out"},
		"external": {refuse, "nothing outside the box is mounted into it"},
	}
}

const (
	unread = "nobody in the box reads it"
	alone  = "it would join the service with the machine or with another service; take the line out"
)

func serviceKeys() map[string]row {
	rows := map[string]row{
		"image": {take, ""}, "command": {whole, ""}, "entrypoint": {whole, ""}, "environment": {whole, ""}, "working_dir": {take, ""}, "user": {take, ""},
		"cap_add": {whole, ""}, "volumes": {take, ""}, "ports": {take, ""}, "expose": {whole, ""},
		"mem_limit": {take, ""}, "cpus": {take, ""}, "pids_limit": {take, ""}, "networks": {whole, ""},
		"env_file": {take, ""}, "env_file[].path": {take, ""}, "env_file[].required": {take, ""}, "env_file[].format": {take, ""},
		"tmpfs": {whole, ""}, "read_only": {take, ""}, "security_opt": {whole, ""}, "shm_size": {take, ""},
		"depends_on": {take, ""}, "depends_on.*": {take, ""}, "depends_on.*.condition": {take, ""}, "depends_on.*.required": {take, ""},
		"depends_on.*.restart": {leave, "a service that ends is started again, and the others go on"},
		"deploy":               {take, ""}, "deploy.resources": {take, ""}, "deploy.resources.limits": {take, ""},
		"deploy.resources.limits.cpus": {take, ""}, "deploy.resources.limits.memory": {take, ""}, "deploy.resources.limits.pids": {take, ""},
		"deploy.resources.limits.devices": {refuse, "no device of the machine is in a box"},
		"deploy.resources.reservations":   {leave, "a box has limits, and reserves nothing"},
		"deploy.replicas":                 {take, ""}, "scale": {take, ""},
		"ulimits": {take, ""}, "ulimits.nofile": {whole, ""}, "ulimits.core": {holds, ""},
		"cap_drop": {holds, ""}, "init": {holds, ""},
		"healthcheck": {leave, "a service is ready when it accepts connections at its port; nothing is run beside it"},
	}
	for key := range parts("ports[].", "target published host_ip protocol mode name app_protocol") {
		rows[key] = row{take, ""}
	}
	for key := range parts("volumes[].", "type source target read_only volume tmpfs tmpfs.size bind image consistency volume.nocopy") {
		rows[key] = row{take, ""}
	}
	for key := range parts("", "container_name hostname domainname labels label_file annotations logging log_driver log_opt attach stdin_open tty stop_signal develop deploy.labels deploy.mode deploy.endpoint_mode deploy.update_config deploy.rollback_config deploy.placement") {
		rows[key] = row{leave, unread}
	}
	for key := range parts("", "restart deploy.restart_policy") {
		rows[key] = row{leave, "a service that ends is started again, always"}
	}
	for key := range parts("", "mem_reservation memswap_limit mem_swappiness oom_score_adj oom_kill_disable cpu_shares cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpuset blkio_config stop_grace_period pull_policy pull_refresh_after") {
		rows[key] = row{leave, "a box has no such setting"}
	}
	for key := range parts("", "network_mode pid ipc uts userns_mode cgroup cgroup_parent volumes_from links external_links") {
		rows[key] = row{refuse, alone}
	}
	for key := range parts("", "privileged devices device_cgroup_rules gpus runtime isolation sysctls storage_opt use_api_socket credential_spec group_add umask") {
		rows[key] = row{refuse, "it would give the service more of the machine than its own; take the line out"}
	}
	for key := range parts("", "extra_hosts dns dns_opt dns_search mac_address") {
		rows[key] = row{refuse, "names and addresses are the box's: services have theirs, and the rest is what egress allows"}
	}
	for key := range parts("", "secrets configs") {
		rows[key] = row{refuse, "a file of the host; put it into the image, or have the app fetch it"}
	}
	for key := range parts("", "post_start pre_start pre_stop") {
		rows[key] = row{refuse, "nothing is run beside a service"}
	}
	rows["build"] = row{refuse, "a box runs finished images: build it, then name it as image"}
	rows["dockerfile"] = rows["build"]
	rows["extends"] = row{refuse, "another file or service; write it out here"}
	rows["profiles"] = row{refuse, "a policy says what runs, always; take the service or the line out"}
	rows["provider"] = row{refuse, "it is run by something outside the box"}
	rows["models"] = row{refuse, "a box runs models by itself: see models in docs/policy.md"}
	rows["platform"] = row{leave, "the image is the one for --arch"}
	return rows
}

func parts(prefix, words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[prefix+w] = true
	}
	return out
}

// keys compares every key of a file with the table.
func (c *converter) keys(doc *document) {
	rows := table()
	patterns := make([]string, len(doc.keys)) // "" for what was dealt with as a whole
	for i, k := range doc.keys {
		above := ""
		if k.in >= 0 {
			if above = patterns[k.in]; above == "" {
				continue
			}
			if k.item {
				above += "[]"
			}
		}
		pattern, r := lookUp(rows, above, k.name)
		switch {
		case r == row{} && strings.HasPrefix(k.name, "x-"): // where the file chooses names, one may begin so
			c.leave(k.path, "an extension: %s", unread)
		case r.verdict == refuse:
			c.refuse(k.path, "%s", cmp.Or(r.say, "not known here; take the line out"))
		case r.verdict == leave:
			c.leave(k.path, "%s", r.say)
		case r.verdict == take:
			patterns[i] = pattern
		}
	}
}

// lookUp finds the row of a key below a pattern.
func lookUp(rows map[string]row, above, name string) (string, row) {
	if above != "" {
		above += "."
	}
	if r, ok := rows[above+name]; ok {
		return above + name, r
	}
	return above + "*", rows[above+"*"]
}
