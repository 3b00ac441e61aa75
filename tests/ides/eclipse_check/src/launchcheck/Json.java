package launchcheck;

import java.util.Collection;
import java.util.Map;
import java.util.StringJoiner;

/** Writes maps, collections, strings, numbers, booleans and null as JSON on one line. */
final class Json {
    private Json() {}

    static String write(Object value) {
        if (value instanceof Map<?, ?> map) {
            StringJoiner members = new StringJoiner(",", "{", "}");
            map.forEach((key, member) -> members.add(quote(key.toString()) + ":" + write(member)));
            return members.toString();
        }
        if (value instanceof Collection<?> collection) {
            StringJoiner elements = new StringJoiner(",", "[", "]");
            collection.forEach(element -> elements.add(write(element)));
            return elements.toString();
        }
        return value instanceof String text ? quote(text) : String.valueOf(value);
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            boolean plain = c >= ' ' && c < 127 && c != '"' && c != '\\';
            quoted.append(plain ? String.valueOf(c) : String.format("\\u%04x", (int) c));
        }
        return quoted.append('"').toString();
    }
}
