package policy

import (
	"fmt"
	"strings"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// services reads what runs beside the app.
func (b *builder) services(docs []serviceDoc) {
	first := map[string]strictyaml.Pos{}
	for i := range docs {
		d, at := &docs[i], fmt.Sprintf("services[%d]", i)
		b.unique(first, d.Name, at+".name", "service")
		b.serviceName(d.Name, at+".name")
		b.policy.Services = append(b.policy.Services, b.service(d, at))
	}
	switch a := b.policy.App; {
	case len(docs) == 0:
	case a == nil || a.Image == "":
		b.errs.Add(docs[0].Pos, "services", "beside an app without an image there is no network for them", "", "app.image, or no services")
	case len(docs) > MaxServices:
		b.errs.Add(docs[MaxServices].Pos, "services", fmt.Sprintf("seen %d", len(docs)), "", fmt.Sprintf("at most %d", MaxServices))
	}
}

// serviceName refuses the names that somebody else has in the private network.
func (b *builder) serviceName(t text, path string) {
	if t.Value == appHost || t.Value == "localhost" || t.Value == b.policy.HostName() {
		b.refuseText(t, path, "another name than the app's, which is app and the box's name, and than localhost")
	}
}

func (b *builder) service(d *serviceDoc, at string) Service {
	s := Service{
		Name: d.Name.Value, Image: d.Image.Value, Digest: b.digest(d.Digest, at+".digest"),
		Command: values[string](d.Command), Env: environment(d.Env), Dir: d.Dir.Value, User: b.user(d.User, at+".user"),
		Capabilities: values[string](d.Capabilities), Listen: uint16(d.Listen.Value),
		Files: b.filesOf(d.Files, at+".files"), Line: d.Pos.Line,
	}
	b.filePath(d.Dir, at+".dir", true)
	b.program(d.Command, at+".command")
	l := d.Limits
	if l == nil {
		l = &serviceLimitsDoc{}
	}
	s.Memory = b.size(l.Memory, at+".limits.memory", DefaultMemory)
	s.PIDs, s.OpenFiles = or(l.PIDs, DefaultPIDs), or(l.OpenFiles, DefaultOpenFiles)
	s.CPU = b.cpu(l.CPU, at+".limits.cpu")
	return s
}

// HostName is the app's host name: the box's name without dots and underscores, which
// host names do not have (RFC 1123, section 2.1), and at most 63 characters.
func (p *Policy) HostName() string {
	const most = 63
	return strings.NewReplacer(".", "-", "_", "-").Replace(p.Name[:min(len(p.Name), most)])
}
