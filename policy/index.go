package policy

import (
	"slices"
	"strings"
)

// Foresees reports whether there may be a model with which a request is allowed, before
// it is known for which one it is. If not, [Policy.Decide] denies it for every model, and
// nothing more of it has to be read.
func (p *Policy) Foresees(r Request) bool {
	rules := p.rulesOf(r.Caller)
	if rules == nil || rules.slices[r.Action] == nil || r.Action == Observe || unservable(r.Path) != "" {
		return false
	}
	var buffer [16]*rule
	return slices.ContainsFunc(rules.slices[r.Action].candidates(buffer[:0], r.Path), func(one *rule) bool { return !one.forbids() })
}

// Shows reports whether a list of models has a model in it, by its canonical name, for
// the caller whose request for the list was allowed. Two things must be: the same
// request would be allowed if it were for this model alone; and the caller may query the
// model at one of its addresses, unless it may query nothing at all, as one that only
// keeps an eye on the models.
//
// Nothing is remembered of these decisions: a long list would push out what is in use.
func (p *Policy) Shows(list Request, model string) bool {
	list.Model = model
	if !p.decide(list).Allowed {
		return false
	}
	if !p.queries(list.Caller) {
		return true
	}
	return slices.ContainsFunc(addressesOf(list.Caller, model), func(at Request) bool { return p.decide(at).Allowed })
}

// queries reports whether any rule permits a caller to query.
func (p *Policy) queries(caller string) bool {
	rules := p.rulesOf(caller)
	return rules != nil && rules.slices[Query].permits()
}

// permits reports whether there is anything in the slice that permits.
func (s *slice) permits() bool {
	return len(s.exact)+len(s.prefixes) > 0 || slices.ContainsFunc(s.always, func(r *rule) bool { return !r.forbids() })
}

// addressesOf are the requests by which a caller asks a model: a model of its own also
// by its short name.
func addressesOf(caller, model string) []Request {
	at := func(method, path string) Request {
		return Request{Caller: caller, Action: Query, Method: method, Path: path, Model: model}
	}
	names := []string{model}
	if short, own := strings.CutPrefix(model, caller+"~"); own {
		names = append(names, short)
	}
	var out []Request
	for _, name := range names {
		out = append(out, at("POST", ModelIndex+"/"+name+"/infer"), at("GET", ModelIndex+"/"+name), at("GET", OpenAIModels+"/"+name))
	}
	return append(out, at("POST", Embeddings), at("POST", Transcriptions))
}
