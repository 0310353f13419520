package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// yaml writes the policy. Whatever the file chose is in quotes.
func (b *box) yaml() []byte {
	var w writer
	w.line("# Made from a Compose file. Add callers: nobody may call this box yet.")
	w.line("version: 1")
	w.line("name: %s", quote(b.name))
	w.line("app:")
	w.program(&b.app, "  ")
	w.line("  listen: %d", b.listen)
	if len(b.services) > 0 {
		w.line("services:")
	}
	for i := range b.services {
		w.service(&b.services[i])
	}
	w.line("egress: none")
	w.files(&b.app, "")
	w.limits(&b.app, "")
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *writer) service(p *part) {
	w.line("  - name: %s", quote(p.name))
	w.program(p, "    ")
	if p.listen > 0 {
		w.line("    listen: %d", p.listen)
	}
	w.files(p, "    ")
	w.limits(p, "    ")
}

func (w *writer) program(p *part, indent string) {
	w.line("%simage: %s", indent, quote(p.image))
	w.line("%sdigest: %s", indent, quote(p.digest))
	if len(p.command) > 0 {
		w.line("%scommand: [%s]", indent, quoted(p.command))
	}
	if len(p.env) > 0 {
		w.line("%senv:", indent)
		for _, name := range slices.Sorted(maps.Keys(p.env)) {
			w.line("%s  %s: %s", indent, quote(name), quote(p.env[name]))
		}
	}
	if p.dir != "" {
		w.line("%sdir: %s", indent, quote(p.dir))
	}
	if p.user != "" {
		w.line("%suser: %s", indent, quote(p.user))
	}
	if len(p.capabilities) > 0 {
		w.line("%scapabilities: [%s]", indent, strings.Join(p.capabilities, ", "))
	}
}

func (w *writer) files(p *part, indent string) {
	if p.tmp == 0 && len(p.writable) == 0 {
		return
	}
	w.line("%sfiles:", indent)
	if p.tmp > 0 {
		w.line("%s  tmp: %s", indent, sizeText(p.tmp))
	}
	if len(p.writable) > 0 {
		w.line("%s  writable:", indent)
	}
	for _, at := range slices.Sorted(maps.Keys(p.writable)) {
		w.line("%s    - {path: %s, size: %s}", indent, quote(at), sizeText(p.writable[at]))
	}
}

func (w *writer) limits(p *part, indent string) {
	var all []string
	if p.memory > 0 {
		all = append(all, "memory: "+sizeText(p.memory))
	}
	if p.pids > 0 {
		all = append(all, fmt.Sprintf("pids: %d", p.pids))
	}
	if p.cpu != "" {
		all = append(all, fmt.Sprintf("cpu: %s", quote(p.cpu)))
	}
	if p.files > 0 {
		all = append(all, fmt.Sprintf("open_files: %d", p.files))
	}
	if len(all) > 0 {
		w.line("%slimits: {%s}", indent, strings.Join(all, ", "))
	}
}

// quote writes text in double quotes, in the part of YAML that JSON is.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil {
		return `""`
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return strings.Join(out, ", ")
}
