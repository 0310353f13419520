package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Ambiguous is the action of a request whose path an app could read as that of another
// action. No policy can allow it.
const Ambiguous Action = "ambiguous"

// ActionRule says which requests to an app are which action.
type ActionRule struct {
	// Method is an HTTP method, "" for all. GET is HEAD as well.
	Method string
	// Path is exact, or a prefix that ends in "/*".
	Path string
	// Is is any action but Observe.
	Is Action
	// Line is where the rule begins in the document.
	Line int
}

// ActionOf returns the action of a request, by its method and its path as sent. It is
// [Ambiguous] if the path as an app could read it would be another action.
//
// The box's own paths are Observe. Of the rest, a request to an app is what the first
// rule says that fits, and Query without one. A request to models is List if it is for
// the index of models, Upload or Delete if it is for the repository of a box to which
// callers may bring models, and Query otherwise.
func (p *Policy) ActionOf(method, path string) Action {
	if Reserved(path) {
		return Observe
	}
	a := p.actionOf(method, path)
	for _, form := range otherForms(path) {
		if p.actionOf(method, form) != a {
			return Ambiguous
		}
	}
	return a
}

func (p *Policy) actionOf(method, path string) Action {
	if p.App == nil {
		return modelAction(method, path, p.Store != nil)
	}
	for i := range p.App.Actions {
		if r := &p.App.Actions[i]; r.fits(method, path) {
			return r.Is
		}
	}
	return Query
}

// modelAction is the action of a request to models: see package model for the paths.
// Without a store there is nothing to upload or delete, and whoever tries only asks.
func modelAction(method, path string, store bool) Action {
	path = strings.TrimSuffix(path, "/")
	reads := method == "GET" || method == "HEAD"
	rest, below := strings.CutPrefix(path, Repository)
	switch {
	case reads && (path == ModelIndex || path == OpenAIModels):
		return List
	case !below || rest != "" && rest[0] != '/' || !store:
		return Query
	case rest == "/index":
		return List
	case method == "DELETE" && strings.HasPrefix(rest, "/models/"):
		return Delete
	}
	return Upload
}

// Paths of a box that runs models. ModelIndex and OpenAIModels are where it lists them,
// Repository is below which they come and go. A request to Embeddings or Transcriptions
// names its model in its body.
const (
	ModelIndex     = "/v2/models"
	OpenAIModels   = "/v1/models"
	Repository     = "/v2/repository"
	Embeddings     = "/v1/embeddings"
	Transcriptions = "/v1/audio/transcriptions"
)

func (r *ActionRule) fits(method, path string) bool {
	if r.Method != "" && r.Method != method && (r.Method != "GET" || method != "HEAD") {
		return false
	}
	prefix, star := strings.CutSuffix(r.Path, "*")
	return path == r.Path || star && strings.HasPrefix(path, prefix)
}

// Addressed reports whether there is any request that is an action: a caller who may do
// one that is not could not do it.
func (p *Policy) Addressed(a Action) bool {
	switch {
	case a == Query || a == Observe:
		return true
	case p.App == nil:
		return a == List || p.Store != nil && (a == Upload || a == Delete)
	}
	return slices.ContainsFunc(p.App.Actions, func(r ActionRule) bool { return r.Is == a })
}

func (b *builder) actions(docs []actionDoc) []ActionRule {
	var out []ActionRule
	for i, d := range docs {
		at := fmt.Sprintf("app.actions[%d]", i)
		if why := checkPattern(d.Path.Value); given(d.Path) && why != "" {
			b.refuseText(d.Path, at+".path", why)
		}
		r := ActionRule{Method: d.Method.Value, Path: d.Path.Value, Is: Action(d.Is.Value), Line: d.Pos.Line}
		for _, before := range out {
			if before.hides(&r) {
				b.errs.Add(d.Pos, at, fmt.Sprintf("nothing reaches this: line %d fits all of it", before.Line), "", "the narrower one first")
				break
			}
		}
		out = append(out, r)
	}
	return out
}

// hides reports whether every request that fits other fits r.
func (r *ActionRule) hides(other *ActionRule) bool {
	return (r.Method == "" || r.Method == other.Method || r.Method == "GET" && other.Method == "HEAD") && coversPath([]string{r.Path}, other.Path)
}

// String says which requests a rule is about.
func (r *ActionRule) String() string {
	if r.Method == "" {
		return r.Path
	}
	return r.Method + " " + r.Path
}

// actionRules writes the rules so that two lists can be compared.
func (a *App) actionRules() string {
	var all []string
	for i := range a.Actions {
		all = append(all, a.Actions[i].String()+" "+string(a.Actions[i].Is))
	}
	return strings.Join(all, ", ")
}

// addresses says which requests are what a caller may do, " An upload is PUT /files/*.",
// as far as the document says it.
func (p *Policy) addresses(may []Action) string {
	if p.App == nil || len(p.App.Actions) == 0 {
		return ""
	}
	text := ""
	for _, a := range Actions() {
		var all []string
		for i := range p.App.Actions {
			if r := &p.App.Actions[i]; r.Is == a {
				all = append(all, r.String())
			}
		}
		if len(all) > 0 && slices.Contains(may, a) {
			text += fmt.Sprintf(" The action %s is %s.", a, list(all))
		}
	}
	return text
}
