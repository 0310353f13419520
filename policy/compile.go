package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
)

// The names that Cedar policies use here:
//
//	principal  Caller::"name"   with the attribute kind: "api_key" ...
//	action     Action::"query"
//	resource   Path::"/v1/..."  the request's path
//	context    {path, method, model}, each a string; "" for what a request has not
const (
	callerType cedar.EntityType = "Caller"
	actionType cedar.EntityType = "Action"
	pathType   cedar.EntityType = "Path"
)

// rule is one Cedar policy and what is said if it decides.
type rule struct {
	id     cedar.PolicyID
	policy *cedar.Policy
	reason string
	line   int
	// exact and prefix say on which paths the rule can apply at all: on exact, or
	// on what begins with prefix. Both are "" if it has to be asked always.
	exact, prefix string
}

func (r *rule) forbids() bool { return r.policy.Effect() == cedar.Forbid }

// slice is the rules that can apply to one caller and one action. Whatever is
// left out has another caller, action or path in its scope and cannot apply, so
// leaving it out changes no decision; that a decision asks few rules is what
// makes it fast.
type slice struct {
	always   []*rule
	exact    map[string]*rule
	prefixes map[string]*rule
	lengths  []int // of the prefixes, rising
}

func (s *slice) add(r *rule) {
	switch {
	case r.exact != "":
		s.exact[r.exact] = r
	case r.prefix != "":
		s.prefixes[r.prefix] = r
		if i, known := slices.BinarySearch(s.lengths, len(r.prefix)); !known {
			s.lengths = slices.Insert(s.lengths, i, len(r.prefix))
		}
	default:
		s.always = append(s.always, r)
	}
}

// candidates appends the rules that can apply to a path.
func (s *slice) candidates(to []*rule, path string) []*rule {
	to = append(to, s.always...)
	if r, ok := s.exact[path]; ok {
		to = append(to, r)
	}
	for _, n := range s.lengths {
		if n > len(path) {
			break
		}
		if r, ok := s.prefixes[path[:n]]; ok {
			to = append(to, r)
		}
	}
	return to
}

// compiled is a policy's rules in the form that decides.
type compiled struct {
	callers  map[string]*callerRules
	entities types.EntityMap
	rules    []*rule // in the order of the document, what callers mean first
	short    int     // how many of them are what callers mean
	memory   *memory
}

type callerRules struct {
	caller *Caller
	uid    cedar.EntityUID
	slices map[Action]*slice
}

// compile turns the callers into Cedar, and adds what the document has in it. index says
// that there is a list of models, see [Caller.narrowed].
func compile(callers []Caller, raw []*rule, lines map[string]int, index bool) *compiled {
	c := &compiled{callers: make(map[string]*callerRules, len(callers)), entities: types.EntityMap{}, memory: newMemory()}
	for i := range callers {
		caller := &callers[i]
		uid := cedar.NewEntityUID(callerType, cedar.String(caller.Name))
		c.entities[uid] = types.Entity{UID: uid, Attributes: cedar.NewRecord(cedar.RecordMap{"kind": cedar.String(caller.Kind())})}
		rules := &callerRules{caller: caller, uid: uid, slices: map[Action]*slice{}}
		for _, a := range Actions() {
			rules.slices[a] = &slice{exact: map[string]*rule{}, prefixes: map[string]*rule{}}
		}
		c.callers[caller.Name] = rules
		for _, a := range caller.May {
			for _, r := range caller.permits(uid, a, fmt.Sprintf("callers[%d]", i), lines, index && a == List) {
				rules.slices[a].add(r)
				c.rules = append(c.rules, r)
			}
		}
	}
	c.short = len(c.rules)
	c.rules = append(c.rules, raw...)
	c.addRaw(raw)
	for i, r := range c.rules {
		r.id = cedar.PolicyID(strconv.Itoa(i))
	}
	return c
}

func (c *compiled) addRaw(raw []*rule) {
	for _, r := range raw {
		for _, rules := range c.callers {
			for action, s := range rules.slices {
				if concerns(r.policy.AST(), rules.uid, actionUID(action)) {
					s.add(r)
				}
			}
		}
	}
}

func actionUID(a Action) cedar.EntityUID { return cedar.NewEntityUID(actionType, cedar.String(a)) }

// Kind says how the caller is recognised: by the key that the document has for
// it. It is the attribute kind of a principal in Cedar.
func (c *Caller) Kind() string {
	switch {
	case c.APIKey != nil:
		return "api_key"
	case c.Certificate != nil:
		return "certificate"
	case c.OIDC != nil:
		return "oidc"
	case c.Attested != nil:
		return "attested"
	case c.Anyone:
		return anyoneName
	}
	return ""
}

// permits returns what the short form of a caller means in Cedar: a permit for
// each path, or one for all.
func (c *Caller) permits(uid cedar.EntityUID, a Action, at string, lines map[string]int, index bool) []*rule {
	base := func() *ast.Policy { return ast.Permit().PrincipalEq(uid).ActionEq(actionUID(a)) }
	who := fmt.Sprintf("caller %q may %s", c.Name, a)
	if a == Observe {
		return []*rule{{policy: cedar.NewPolicyFromAST(base()), reason: who, line: c.Line}}
	}
	if len(c.Paths) == 0 {
		return []*rule{{policy: c.narrowed(base(), index), reason: who + " every path", line: c.Line}}
	}
	out := make([]*rule, len(c.Paths))
	for i, pattern := range c.Paths {
		r := &rule{reason: who + " " + pattern, line: lines[fmt.Sprintf("%s.paths[%d]", at, i)]}
		p := base()
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			r.prefix = prefix
			p.When(ast.Context().Access("path").Like(types.NewPattern(prefix, types.Wildcard{})))
		} else {
			r.exact = pattern
			p.ResourceEq(cedar.NewEntityUID(pathType, cedar.String(pattern)))
		}
		r.policy = c.narrowed(p, index)
		out[i] = r
	}
	return out
}

// narrowed adds the caller's methods and models to a permit. A request for the list of
// models is for none of them: it is permitted, and decided again for each model that
// would be in the list, see [Policy.Shows].
func (c *Caller) narrowed(p *ast.Policy, index bool) *cedar.Policy {
	models := c.Models
	if index && len(models) > 0 {
		models = append(slices.Clone(models), "")
	}
	for _, limit := range []struct {
		attribute types.String
		list      []string
	}{{"method", c.Methods}, {"model", models}} {
		if len(limit.list) > 0 {
			p.When(ast.Value(set(limit.list)).Contains(ast.Context().Access(limit.attribute)))
		}
	}
	return cedar.NewPolicyFromAST(p)
}

func set(list []string) types.Set {
	values := make([]types.Value, len(list))
	for i, s := range list {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}

// CedarText returns everything that decides who may do what, in the Cedar
// language: what the callers mean, then what the document adds, in the order of
// the document. It is for reading, and for other programs that read Cedar.
func (p *Policy) CedarText() string {
	var b strings.Builder
	if p.compiled == nil {
		return ""
	}
	for _, r := range p.compiled.rules {
		fmt.Fprintf(&b, "// line %d\n%s\n", r.line, r.policy.MarshalCedar())
	}
	return b.String()
}
