package compose

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/blindbox/blindbox/policy"
)

// grantable are the capabilities that a box can give, see package sandbox.
func grantable() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
		"CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

// files reads volumes and tmpfs: both are empty folders in memory.
func (c *converter) files(s *types.ServiceConfig, out *part) {
	for i, v := range s.Volumes {
		c.volume(fmt.Sprintf("services.%s.volumes[%d]", s.Name, i), &v, out)
	}
	for i, t := range s.Tmpfs {
		at := fmt.Sprintf("services.%s.tmpfs[%d]", s.Name, i)
		if len(s.Tmpfs) == 1 && c.lines[at] == 0 {
			at = "services." + s.Name + ".tmpfs"
		}
		where, options, _ := strings.Cut(t, ":")
		size := c.cfg.VolumeSize
		for _, o := range strings.FieldsFunc(options, func(r rune) bool { return r == ',' }) {
			key, value, _ := strings.Cut(o, "=")
			var n types.UnitBytes
			err := n.DecodeMapstructure(value)
			switch {
			case key != "size":
				c.leave(at, "%.40s: the folder belongs to the service's user", o)
			case err != nil || n <= 0:
				c.refuse(at, "the size %.40q", value)
			default:
				size = int64(n)
			}
		}
		c.folder(at, where, size, out)
	}
}

func (c *converter) volume(at string, v *types.ServiceVolumeConfig, out *part) {
	size := c.cfg.VolumeSize
	switch v.Type {
	case types.VolumeTypeVolume:
		if v.Volume != nil && v.Volume.Subpath != "" {
			c.refuse(at, "a part of a volume; name a volume for it")
		}
		c.leave(at, "%s is memory of the box, empty at every start of it and of the service, and %s large (--volume-size)", v.Target, sizeText(size))
	case types.VolumeTypeTmpfs:
		if v.Tmpfs != nil && v.Tmpfs.Size > 0 {
			size = int64(v.Tmpfs.Size)
		}
	case types.VolumeTypeBind:
		c.refuse(at, "%.200s of this machine; a box sees no file of the host: put it into the image, or make it a named volume if it may be empty", v.Source)
		return
	default:
		c.refuse(at, "a mount of the type %.40q; a box has named volumes and tmpfs", v.Type)
		return
	}
	if v.ReadOnly {
		c.refuse(at, "read-only, and it would be empty")
	}
	c.folder(at, v.Target, size, out)
}

// folder adds an empty folder in memory.
func (c *converter) folder(at, where string, size int64, out *part) {
	switch {
	case !path.IsAbs(where) || path.Clean(where) != where || where == "/":
		c.refuse(at, "%.200q, expected an absolute path with neither . nor .. in it", where)
	case slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(dir string) bool { return where == dir || strings.HasPrefix(where, dir+"/") }):
		c.refuse(at, "%.200s is what the kernel shows", where)
	case out.writable[where] > 0 || where == "/tmp" && out.tmp > 0:
		c.refuse(at, "%.200s twice", where)
	case where == "/tmp":
		out.tmp = size
	default:
		out.writable[where] = size
	}
}

// sharedVolumes refuses a volume of several services: each would have its own.
func (c *converter) sharedVolumes(p *types.Project) {
	first := map[string]string{}
	for _, name := range c.inOrder(p) {
		for i, v := range p.Services[name].Volumes {
			if v.Type != types.VolumeTypeVolume || v.Source == "" {
				continue
			}
			if other, ok := first[v.Source]; ok && other != name {
				c.refuse(fmt.Sprintf("services.%s.volumes[%d]", name, i), "%.80s is the volume of %s too; services of a box share no files", v.Source, other)
			}
			first[v.Source] = name
		}
	}
}

// limits reads what a service may take.
func (c *converter) limits(s *types.ServiceConfig, out *part) {
	at := "services." + s.Name
	out.memory, out.pids = int64(s.MemLimit), max(s.PidsLimit, 0)
	processors := float64(s.CPUS)
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		l := s.Deploy.Resources.Limits
		out.memory = max(out.memory, int64(l.MemoryBytes))
		out.pids = max(out.pids, l.Pids)
		processors = max(processors, float64(l.NanoCPUs))
	}
	if processors > 0 {
		out.cpu = strconv.FormatFloat(processors, 'f', 3, 32)
		out.cpu = strings.TrimSuffix(strings.TrimRight(out.cpu, "0"), ".")
	}
	if s.PidsLimit == -1 {
		c.leave(at+".pids_limit", "no service is without a limit; without a number it has %d processes", policy.DefaultPIDs)
	}
	if out.memory < 0 || processors < 0 || s.PidsLimit < -1 {
		c.refuse(at, "a limit below none")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ulimits)) {
		if name == "nofile" && s.Ulimits[name] != nil {
			out.files = int64(max(s.Ulimits[name].Single, s.Ulimits[name].Hard))
		}
	}
}

// sizeText writes bytes as a policy has them.
func sizeText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n > 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// ParseSize reads a size as a policy has it, in whole units.
func ParseSize(s string) (int64, bool) {
	for unit, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, err := strconv.ParseInt(strings.TrimSuffix(s, unit), 10, 20); err == nil && strings.HasSuffix(s, unit) && n > 0 {
			return n * size, true
		}
	}
	return 0, false
}
