package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	syntax "github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// cedar reads what the document adds in the Cedar language, and compiles the
// rules.
func (b *builder) cedar(block *strictyaml.Block) {
	b.policy.Cedar = block.Value
	var raw []*rule
	if block.Pos.Line != 0 {
		raw = b.rawRules(block)
	}
	if len(b.errs) == 0 {
		b.policy.compiled = compile(b.policy.Callers, raw, b.policy.lines, b.policy.App == nil)
	}
}

// maxNesting is how deep brackets may stand in each other, and how many "!" and
// "-" in a row. The parser and the evaluator are recursive.
const maxNesting = 64

// tooDeep returns the offset at which a text is nested too deep, or -1.
func tooDeep(s string) int {
	depth, row := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		}
		switch s[i] {
		case '!', '-':
			row++
		case ' ', '\n':
		default:
			row = 0
		}
		if depth > maxNesting || row > maxNesting {
			return i
		}
	}
	return -1
}

func (b *builder) rawRules(block *strictyaml.Block) []*rule {
	if i := tooDeep(block.Value); i >= 0 {
		b.errs.Add(block.At(lineOf(block.Value, i), 1), "cedar", fmt.Sprintf("more than %d levels deep", maxNesting), "", "")
		return nil
	}
	list, err := cedar.NewPolicyListFromBytes("", []byte(block.Value))
	if err != nil {
		b.syntaxError(block, err)
		return nil
	}
	if len(list) == 0 {
		b.errs.Add(block.Pos, "cedar", "no policy in it", "", "a permit or forbid: fill it, or leave the key out")
	}
	names := map[string]bool{}
	for _, c := range b.policy.Callers {
		names[c.Name] = true
	}
	out := make([]*rule, len(list))
	for i, p := range list {
		at := block.At(p.Position().Line, p.Position().Column)
		for _, wrong := range meaningless(p.AST(), names) {
			b.errs.Add(at, fmt.Sprintf("cedar[%d]", i), wrong, "", "")
		}
		out[i] = &rule{policy: p, line: at.Line, reason: rawReason(p)}
	}
	return out
}

func lineOf(s string, offset int) int {
	return 1 + strings.Count(s[:offset], "\n")
}

// rawReason says that a policy of the document decided, with its @id if it has
// one that fits in a line.
func rawReason(p *cedar.Policy) string {
	what := "a Cedar policy"
	if id := p.Annotations()["id"]; namePattern.MatchString(string(id)) {
		what = fmt.Sprintf("the Cedar policy %q", string(id))
	}
	if p.Effect() == cedar.Forbid {
		return what + " forbids it"
	}
	return what + " permits it"
}

// cedarError finds the place in an error of the Cedar parser, which has no field
// for it.
var cedarError = regexp.MustCompile(`^(?:parser error: )?(?:parse error at |scan error at )?<input>:([0-9]{1,6}):([0-9]{1,6}):? *(.*)$`)

func (b *builder) syntaxError(block *strictyaml.Block, err error) {
	at, problem := block.Pos, err.Error()
	if m := cedarError.FindStringSubmatch(problem); m != nil {
		line, _ := strconv.Atoi(m[1])
		column, _ := strconv.Atoi(m[2])
		at, problem = block.At(line, column), m[3]
	}
	b.errs.Add(at, "cedar", "not Cedar: "+strictyaml.Quote(problem), "", "")
}

// meaningless says what in a policy can never be true of a request. A forbid
// that names what does not exist would forbid nothing, and nobody would notice.
func meaningless(p *ast.Policy, callers map[string]bool) []string {
	m := meaning{callers: callers}
	m.scope(p.Principal, callerType)
	m.scope(p.Action, actionType)
	m.scope(p.Resource, pathType)
	for _, c := range p.Conditions {
		syntax.Inspect(syntax.NewNode(c.Body), m.node)
	}
	return m.wrong
}

type meaning struct {
	callers map[string]bool
	wrong   []string
}

func (m *meaning) fail(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

func (m *meaning) scope(s syntax.IsScopeNode, want cedar.EntityType) {
	switch s := s.(type) {
	case syntax.ScopeTypeEq:
		m.entity(s.Entity, want)
	case syntax.ScopeTypeIn:
		m.within(want == actionType)
		m.entity(s.Entity, want)
	case syntax.ScopeTypeInSet:
		for _, e := range s.Entities {
			m.entity(e, want)
		}
	case syntax.ScopeTypeIs:
		m.entityType(s.Type, want)
	case syntax.ScopeTypeIsIn:
		m.within(false)
		m.entity(s.Entity, want)
	}
}

// within refuses "in" for what is in nothing. Who writes resource in
// Path::"/admin" means what is below it, and Cedar would compare for equality.
func (m *meaning) within(action bool) {
	if !action {
		m.fail(`"in" for callers or paths, which are in nothing: use == or context.path like "/admin/*"`)
	}
}

func (m *meaning) entityType(t cedar.EntityType, want ...cedar.EntityType) {
	if slices.Contains(want, t) {
		return
	}
	m.fail("the type %s, which nothing here has: expected %s", strictyaml.Quote(string(t)), oneOf(words(want)))
}

func (m *meaning) entity(e cedar.EntityUID, want ...cedar.EntityType) {
	m.entityType(e.Type, want...)
	id := string(e.ID)
	switch e.Type {
	case callerType:
		if !m.callers[id] {
			m.fail("the caller %s, whom the policy does not have", strictyaml.Quote(id))
		}
	case actionType:
		if list := words(Actions()); !slices.Contains(list, id) {
			m.fail("the action %s, which there is not: expected %s", strictyaml.Quote(id), oneOf(list))
		}
	case pathType:
		if CheckPath(id) != nil {
			m.fail("the path %s, which no request can have", strictyaml.Quote(id))
		}
	}
}

// node checks one node of a condition and says whether to look into it.
func (m *meaning) node(n syntax.IsNode) bool {
	switch n := n.(type) {
	case syntax.NodeTypeAccess:
		return m.attribute(n.Arg, string(n.Value))
	case syntax.NodeTypeHas:
		return m.attribute(n.Arg, string(n.Value))
	case syntax.NodeTypeIs:
		m.entityType(n.EntityType, callerType, actionType, pathType)
	case syntax.NodeTypeIsIn:
		m.within(false)
	case syntax.NodeTypeIn:
		left, _ := n.Left.(syntax.NodeTypeVariable)
		m.within(left.Name == "action")
	case syntax.NodeTypeHasTag, syntax.NodeTypeGetTag:
		m.fail("a tag, which nothing here has")
	case syntax.NodeTypeVariable:
		if n.Name == "context" {
			m.fail("the whole context: expected one of its attributes, %s", oneOf(attributes("context")))
		}
	case syntax.NodeValue:
		m.value(n.Value)
	}
	return true
}

func (m *meaning) value(v types.Value) {
	if e, ok := v.(cedar.EntityUID); ok {
		m.entity(e, callerType, actionType, pathType)
	}
}

// attributes are those that a variable has here.
func attributes(variable string) []string {
	switch variable {
	case "context":
		return []string{"path", "method", "model"}
	case "principal":
		return []string{"kind"}
	}
	return nil
}

func (m *meaning) attribute(of syntax.IsNode, name string) bool {
	v, ok := of.(syntax.NodeTypeVariable)
	if !ok {
		m.fail("an attribute %s of what is not a variable", strictyaml.Quote(name))
		return true
	}
	switch list := attributes(string(v.Name)); {
	case len(list) == 0:
		m.fail("the attribute %s: %s has none", strictyaml.Quote(name), v.Name)
	case !slices.Contains(list, name):
		m.fail("the attribute %s, which %s has not: expected %s", strictyaml.Quote(name), v.Name, oneOf(list))
	}
	return false
}

// concerns reports whether the scope of a policy can fit a caller and an action.
func concerns(p *ast.Policy, caller, action cedar.EntityUID) bool {
	if s, ok := p.Principal.(syntax.ScopeTypeEq); ok && s.Entity != caller {
		return false
	}
	switch s := p.Action.(type) {
	case syntax.ScopeTypeEq:
		return s.Entity == action
	case syntax.ScopeTypeInSet:
		return slices.Contains(s.Entities, action)
	}
	return true
}
