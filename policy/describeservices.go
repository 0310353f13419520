package policy

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// services says what runs beside the app.
func (d *description) services(p *Policy) {
	if len(p.Services) == 0 {
		return
	}
	d.line("Beside the app it runs %s, which start in this order, and the app last, each isolated as the app is. They and the app reach one another in a private network; nobody else reaches them.", count(len(p.Services), "service"))
	for i := range p.Services {
		d.service(&p.Services[i])
	}
	d.line("What the app may connect to, all of them may.")
}

func (d *description) service(s *Service) {
	d.line("    %s: the image %s with the digest sha256:%s (line %d)", s.Name, s.Image, hex.EncodeToString(s.Digest[:]), s.Line)
	detail := func(format string, args ...any) { d.line("        "+format, args...) }
	if s.Command != nil {
		detail("The image's own command is replaced by %q.", s.Command)
	}
	if s.Dir != "" {
		detail("It starts in %s.", shownPath(s.Dir))
	}
	if len(s.Env) > 0 {
		detail("Its environment has %s.", strings.Join(sorted(s.Env), " "))
	}
	switch {
	case s.User != nil && s.User.UID == 0:
		detail("It runs as ROOT inside its isolation, group %d.", s.User.GID)
	case s.User != nil:
		detail("It runs as user %d, group %d.", s.User.UID, s.User.GID)
	}
	if len(s.Capabilities) > 0 {
		detail("It HAS THE LINUX CAPABILITIES %s.", list(s.Capabilities))
	}
	if s.Listen > 0 {
		detail("What starts after it waits until it accepts connections at port %d.", s.Listen)
	}
	detail("It may write to %s.", s.Files.places())
	detail("It has at most %s.", strings.Join(bounds(s.Memory, s.PIDs, s.CPU, s.OpenFiles), ", "))
}

// places says where may be written to.
func (f *Files) places() string {
	var places []string
	if f.Tmp > 0 {
		places = append(places, fmt.Sprintf("/tmp (%s)", formatSize(f.Tmp)))
	}
	for _, w := range f.Writable {
		places = append(places, fmt.Sprintf("%s (%s)", shownPath(w.Path), formatSize(w.Size)))
	}
	if len(places) == 0 {
		return "no file"
	}
	return list(places) + ", in memory, and to no other file"
}

// bounds says what a program has at most.
func bounds(memory int64, pids, cpu, openFiles int) (has []string) {
	if memory > 0 {
		has = append(has, formatSize(memory)+" of memory")
	}
	if pids > 0 {
		has = append(has, count(pids, "process")+" and threads")
	}
	if cpu > 0 {
		has = append(has, strconv.FormatFloat(float64(cpu)/1000, 'f', -1, 64)+" processors")
	}
	if openFiles > 0 {
		has = append(has, count(openFiles, "open file")+" each")
	}
	return has
}
