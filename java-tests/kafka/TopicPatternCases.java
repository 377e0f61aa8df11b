import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;

/**
 * Prints what RE2J, which Kafka uses for subscriptions by regular expression, makes of patterns: the cases of
 * core/coordinator/tests/data/topic_patterns.txt.
 *
 * <pre>java -cp "$(scripts/kafka.sh libs)/*" java-tests/kafka/TopicPatternCases.java [how many random ones] [seed]</pre>
 *
 * The first line holds the topics' names. Each other line is a pattern, a tab, and either "!" and what is wrong with it,
 * or one digit per name: 1 if the whole name matches.
 */
public class TopicPatternCases {
    private static final List<String> NAMES = List.of(
        "a", "b", "A", "aa", "ab", "abc", "aab", "orders", "Orders", "ORDERS", "orders-1", "orders.eu", "orders_eu",
        "orders-2024.retry", "payments", "s", "S", "k", "K", "0", "7", "42", "-", "_", ".a", "a.b", "__consumer_offsets",
        "aaaa", "E", "Q", "p", "ba", "x");

    private static final String[] WRITTEN = {
        "", "a", ".*", ".+", "orders.*", "(?i)orders", "orders|payments", "^orders$", "\\Aorders\\z", "orders\\Z", "or^ders",
        "a|", "|", "||a", "()", "(|a)*", "(a|b)*", "(?:a|b)+", "a{2}", "a{2,}", "a{1,2}", "a{,2}", "a{0}", "a{01}", "a{", "a{2",
        "a{2,1}", "a{1000}", "a{1001}", "a{123456789}", "a{99999999999}", "{", "{2}", "}", "a}", "a{x}", "a{*", "a{2}{3}", "a{,}+",
        "a**", "a*+", "a++", "a?+", "a{2}+", "a*?", "a+?", "a??", "a???", "a+??", "*", "+a", "?", "(*)", "(+a)", "|*", "a|*",
        "^*", "$+", "\\b+", "(?i)*", "a(?i)*", "a*(?i)*", "a+(?i)?", "\\Q\\E*", "a\\Q\\E*", "\\Qab\\E*", "\\Qa.b\\E", "\\Qa.b", "\\Q",
        "\\E", "a\\E", "\\Q\\Q\\E", "(", ")", "a)", "(a", "((a)", "(a))", "(?", "(?)", "(?:", "(?:)", "(?i", "(?-)", "(?-:a)", "(?i-)",
        "(?i:a)B", "(?i)(?-i:a)B", "(?i-i)a", "(?-i-i)a", "(?x)a", "(?q)", "(?U)a+", "(?ms)^a.b$", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)",
        "(?>a)", "(?#a)", "(?P<n>a)", "(?<n>a)", "(?P<n>a)(?P<n>b)", "(?P<n>a)(?<n>b)", "(?P<>a)", "(?P<n", "(?P<n-1>a)", "(?P=n)",
        "(?P>n)", "(?'n'a)", "((?i)a)B", "((?i)a)b", "(?i)a|B", "a(?i)|B", "[a-z]+", "[^a-z]+", "[a", "[", "[]", "[]a]", "[^]a]+", "[^]",
        "[a-", "[a-]", "[-a]+", "[--a]", "[z-a]", "[a-\\d]", "[\\d-z]", "[a-b-c]+", "[\\]a]", "[\\w.-]+", "[\\W]", "[^\\W]+", "[[:alpha:]]+",
        "[[:^alpha:]]+", "[[:word:]]+", "[[:nothing:]]", "[[:alpha]]", "[[:alpha", "[[:]", "[[:]]", "[:alpha:]+", "[[:foo]a:]", "[[.a.]]",
        "[[=a=]]", "[a[b]", "[&&a]", "[a&&b]", "[a--b]", "[a~~b]", "(?i)[[:lower:]]+", "(?i)[^a]", "(?i)[[:^lower:]]+", "(?i)\u017f",
        "(?i)\u212a", "(?i)[\u0100-\u0200]", "(?i)[^\u017f]", "\u00e9", "a\u00e9?", "[\u00e9a]", "\ud83d\ude00?a", "[^\ud83d\ude00]",
        "\\d+", "\\D", "\\s", "\\S+", "\\w+", "\\W+", "\\h", "\\R", "\\X", "\\C", "\\G", "\\K", "\\y", "\\e", "\\1", "(a)\\1", "\\8",
        "\\101", "\\1010", "\\07", "\\0", "\\12a", "\\x41", "\\x4", "\\x", "\\x4g", "\\x{41}", "\\x{}", "\\x{110000}", "\\x{4g}", "\\x{41",
        "\\x{000041}", "\\u0041", "\\cA", "\\a", "\\t", "\\_", "\\-", "\\.a", "\\", "a\\", "\\\\", "\\<a\\>", "\\ba\\b", "a\\Bb", "\\Ba",
        "\\pL+", "\\PL", "\\p{L}+", "\\p{^L}", "\\P{^L}", "\\p{Greek}", "\\P{Greek}", "\\p{Latin}+", "\\p{Lu}", "(?i)\\p{Lu}", "(?i)\\p{Ll}",
        "(?i)\\P{Ll}", "(?i)[\\p{Ll}]", "(?i)[^\\p{Lu}]", "\\p{Nd}+", "\\p{Any}", "\\P{Any}", "\\p", "\\p{", "\\p{L", "\\p{}", "\\p{Nope}",
        "\\p{Alpha}", "\\p{IsLatin}", "\\p{L&}", "\\pX", "[\\pN]+", "[\\p{Greek}]", "[\\p{Nope}]", "[\\b]", "[\\A]", "[\\Qa\\E]", "[\\x41-\\x43]",
        "(a{2}){2}", "((a{1,2}){1,2}){1,2}", "((a*)*)*", "(a?){4}", "(?:a|aa)(?:b|)", "a||b", "(a||b)+", "(^a|b$)+", "#a", "a b", "a # b",
        "~a", "@", "<a>", "\"a\"", "a&b", "a,b", "a/b", "a;b", "orders-[0-9]+", "orders(-\\d+)?", "orders[.-_].*", "(orders|payments)(-.*)?",
        "__.*", "[^_].*", "(?s).*", "(?i)ORDERS[-_.]?(EU|1)?", "orders-\\d{4}\\.retry",
    };

    private static final String[] PARTS = {
        "a", "b", "A", "s", "k", "orders", "-", "_", ".", "\\.", "*", "+", "?", "*?", "{2}", "{1,2}", "{0,}", "{,1}", "{", "}", "|", "(",
        ")", "(?:", "(?i)", "(?i:", "(?-i:", "(?P<x>", "(?s)", "^", "$", "\\b", "\\B", "\\A", "\\z", "[ab]", "[^a]", "[a-z]", "[", "]", "[^",
        "[[:alpha:]]", "[[:^digit:]]", "\\d", "\\W", "\\pL", "\\P{Lu}", "\\Q", "\\E", "\\", "\\x41", "\\141", "7", "42", ".*", "\u017f", ":]",
    };

    public static void main(String[] args) {
        int count = args.length > 0 ? Integer.parseInt(args[0]) : 400;
        Random random = new Random(args.length > 1 ? Long.parseLong(args[1]) : 848);
        Set<String> patterns = new LinkedHashSet<>(List.of(WRITTEN));
        while (patterns.size() < WRITTEN.length + count) {
            StringBuilder pattern = new StringBuilder();
            for (int parts = 1 + random.nextInt(8); parts > 0; parts--) {
                pattern.append(PARTS[random.nextInt(PARTS.length)]);
            }
            // Most random patterns are wrong somewhere: keep all that are right and some of the others.
            if (!result(pattern.toString()).startsWith("!") || random.nextInt(4) == 0) {
                patterns.add(pattern.toString());
            }
        }
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        out.println(String.join(" ", NAMES));
        for (String pattern : patterns) {
            out.println(pattern + "\t" + result(pattern));
        }
    }

    private static String result(String text) {
        Pattern pattern;
        try {
            pattern = Pattern.compile(text);
        } catch (PatternSyntaxException e) {
            return "!" + e.getDescription();
        }
        StringBuilder bits = new StringBuilder();
        for (String name : NAMES) {
            bits.append(pattern.matcher(name).matches() ? '1' : '0');
        }
        return bits.toString();
    }
}
