package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// load has the library check the values against the format's schema, put variables
// in, and make one form of short and long ones. It opens no file.
func (c *converter) load(ctx context.Context, doc *document) (p *types.Project, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("compose: the file cannot be read: %v", r)
		}
	}()
	c.unset(doc)
	if err := c.refused(); err != nil {
		return nil, err
	}
	delete(doc.values, "version") // the library would log that it is obsolete
	details := types.ConfigDetails{
		WorkingDir: "/", Environment: maps.Clone(c.cfg.Variables),
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Config: doc.values}},
	}
	p, err = loader.LoadWithContext(ctx, details, func(o *loader.Options) {
		o.SetProjectName("box", true)
		o.SkipInclude, o.SkipExtends, o.SkipResolveEnvironment, o.SkipResolveLabels = true, true, true, true
		o.ResolvePaths, o.SkipNormalization = false, true
	})
	if err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	if p == nil || len(p.Services) == 0 {
		return nil, errors.New("compose: the file has no services")
	}
	return p, nil
}

// unset refuses variables that have neither a value nor a default: nothing would
// stand in their place.
func (c *converter) unset(doc *document) {
	for name, v := range template.ExtractVariables(doc.values, template.DefaultPattern) {
		if _, ok := c.cfg.Variables[name]; !ok && v.DefaultValue == "" && v.PresenceValue == "" {
			c.refuse("${"+name+"}", "the variable has no value: give it one with --env %s=VALUE, or a default in the file. Nothing is taken from this machine's environment", name)
		}
	}
}
