package launchcheck;

import java.util.Arrays;
import org.eclipse.core.runtime.IExtensionRegistry;
import org.eclipse.core.runtime.RegistryFactory;
import org.eclipse.core.runtime.content.IContentTypeManager;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;

/**
 * Registers Eclipse's content types as a service, without which no workspace opens. A whole Eclipse
 * leaves that to its Declarative Services, which are not among the Debian packages.
 */
public final class ContentTypes implements BundleActivator {
    private static final String BUNDLE = "org.eclipse.core.contenttype";
    private static final String MANAGER = "org.eclipse.core.internal.content.ContentTypeManager";

    @Override
    public void start(BundleContext context) throws Exception {
        Bundle bundle = Arrays.stream(context.getBundles())
                .filter(candidate -> BUNDLE.equals(candidate.getSymbolicName()))
                .findFirst()
                .orElseThrow();
        Class<?> type = bundle.loadClass(MANAGER);
        Object manager = type.getDeclaredConstructor().newInstance();
        type.getMethod("addRegistryChangeListener", IExtensionRegistry.class)
                .invoke(manager, RegistryFactory.getRegistry());
        context.registerService(IContentTypeManager.class, (IContentTypeManager) manager, null);
    }

    @Override
    public void stop(BundleContext context) {}
}
